"""Where results are, and who shows them."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "perf" / "results"
README = ROOT / "README.md"
