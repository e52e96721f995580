"""What-if: the engine itself in virtual time, with processor time that costs what was measured."""
