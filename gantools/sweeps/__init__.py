"""Sweeps: many runs in several processes of this machine, or on a cluster; each run is finished once."""
