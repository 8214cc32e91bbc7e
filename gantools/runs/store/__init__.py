"""The files of a run: written atomically, and cut to one step when a run is resumed."""
