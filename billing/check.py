"""`billing check`: is this catalog one that can take effect? Every problem at once, each with its place."""

from pathlib import Path

from billing.catalog import Catalog, load_catalog
from billing.domain.problems import InvalidCatalog


def check_catalog(path: Path) -> tuple[list[str], int]:
    """What to say, line by line, and the exit code: 0 valid, 2 not.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        catalog = load_catalog(path)
    except InvalidCatalog as error:
        return [f"{path}: {problem}" for problem in error.problems], 2
    return [f"{path}: valid: {summary(catalog)}"], 0


def summary(catalog: Catalog) -> str:
    """What a catalog holds, in one line: `3 meters, 2 plans, 200 customers`."""
    counts = ((len(catalog.meters), "meter"), (len(catalog.plans), "plan"), (len(catalog.customers), "customer"))
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)
