"""What every scenario stands on: servers, processes, loads, steady state, checks, figures and pages."""
