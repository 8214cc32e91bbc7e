"""Methods that differentiate the field."""
