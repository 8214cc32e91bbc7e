"""Ways to multiply with a Jacobian: kept graphs, dual numbers, recordings."""
