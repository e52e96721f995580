"""One scenario a file: `TITLE` and `measure(stage)`, found by their names."""
