"""Methods that evaluate the field and never differentiate it."""
