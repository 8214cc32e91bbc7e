"""Games whose parameters are divided among processes: each holds a range of the vector, and gathers what it uses."""
