"""The same work through other systems: a program for each, which prints one line of JSON; see `program.py`."""
