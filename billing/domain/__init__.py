"""Billing's rules as pure functions and frozen records: no I/O, clock, chance, environment, logging or float."""
