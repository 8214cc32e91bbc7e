"""The loss surface: path-angle, lines and planes, stationary points."""
