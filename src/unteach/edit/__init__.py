"""Changes a transformer: edits, the patches they are made of, training, saving and baking."""
