"""Independent copies of one game, of several seeds say, evaluated in one program."""
