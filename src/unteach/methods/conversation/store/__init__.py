"""A store of documents from which one can be taken out, so that nothing of it is left."""
