"""Personal data in a text: found by its form, its check digits, its context or a list of names."""
