"""Catalogs as text and files, TOML or JSON. What they mean is in `domain`, whose names a reader finds here too."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from billing.domain.catalog import Catalog, read_catalog
from billing.domain.history import BEGINNING_MS, FOREVER_MS, CatalogHistory, CatalogVersion
from billing.domain.json_text import JsonProblem, parse
from billing.domain.problems import InvalidCatalog, Problem
from billing.domain.toml_lines import with_lines

__all__ = [
    "BEGINNING_MS",
    "FOREVER_MS",
    "Catalog",
    "CatalogHistory",
    "CatalogVersion",
    "InvalidCatalog",
    "load_catalog",
    "parse_catalog",
    "parse_document",
    "read_catalog",
]


def load_catalog(path: Path) -> Catalog:
    """The catalog of a file: JSON if its name ends in `.json`, else TOML.

    Raises:
        OSError: the file cannot be read.
        InvalidCatalog: every problem, each with its place.
    """
    return parse_catalog(path.read_bytes(), json=path.suffix.lower() == ".json")


def parse_catalog(text: bytes, *, json: bool) -> Catalog:
    """The catalog that the text holds.

    Raises:
        InvalidCatalog: every problem, each with its place, and in TOML with its line.
    """
    document = parse_document(text, json=json)
    try:
        return read_catalog(document)
    except InvalidCatalog as error:
        raise InvalidCatalog(error.problems if json else with_lines(error.problems, text.decode())) from None


def parse_document(text: bytes, *, json: bool) -> Any:
    """TOML or JSON as tables, lists, texts, numbers and booleans. Numbers with a point are decimals, never floats.

    Raises:
        InvalidCatalog: the text is neither.
    """
    try:
        return parse(text) if json else tomllib.loads(text.decode("utf-8"), parse_float=Decimal)
    except UnicodeDecodeError as error:
        raise InvalidCatalog([Problem("", f"must be UTF-8, but byte {error.start} is not")]) from None
    except RecursionError:
        raise InvalidCatalog([Problem("", "must be TOML that does not nest so deeply")]) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidCatalog([Problem("", f"must be TOML: {error}")]) from None
    except JsonProblem as error:
        raise InvalidCatalog([Problem("", str(error))]) from None
