"""First-order methods: they evaluate the field (and `heun` and `rk4`, with a penalty, differentiate it)."""
