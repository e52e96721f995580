"""Measurements: one scenario a file. `python -m perf SCENARIO [--json] [--quick]`."""
