"""The files of a run, written atomically and truncated to one step when the run is resumed."""
