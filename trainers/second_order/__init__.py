"""Second-order methods: they differentiate the field."""
