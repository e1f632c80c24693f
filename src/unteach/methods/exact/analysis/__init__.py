"""Methods that estimate what training without the rows would have given; what they leave is measured, not proved."""
