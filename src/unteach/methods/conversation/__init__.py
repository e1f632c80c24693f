"""Guards: what hides in a conversation what the weights still know."""
