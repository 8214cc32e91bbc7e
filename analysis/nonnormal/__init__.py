"""Non-normality: pseudospectra, field of values, condition numbers of eigenvalues."""
