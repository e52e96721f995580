"""`billing price`: what quantities cost at a rate, exactly: no currency, no rounding."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import orjson

from billing.catalog import parse_document
from billing.domain.money import parse_decimal, plain
from billing.domain.problems import InvalidRate, Problem
from billing.domain.rate_reading import parse_rate
from billing.domain.rates import Percentage, Rate


def load_rate(path: Path) -> Rate:
    """The rate of a file: TOML if its name ends in `.toml`, else JSON.

    Raises:
        OSError: the file cannot be read.
        Invalid: every problem, each with its place.
    """
    return parse_rate(parse_document(path.read_bytes(), json=path.suffix.lower() != ".toml"))


def price_lines(
    path: Path,
    quantities: Sequence[str] = (),
    transactions: str | None = None,
    group: Mapping[str, str] | None = None,
) -> list[str]:
    """One JSON line a quantity, in their order: `{"quantity":"21","amount":"163"}`.

    A percentage takes `transactions` (amounts, separated by commas, in their order) instead; its quantity is their
    sum. `group`: what a matrix looks its price up by; without it, its default.

    Raises:
        OSError: the file cannot be read.
        Invalid: the rate, a quantity or a transaction is none, or the rate does not price it.
    """
    rate = load_rate(path)
    if isinstance(rate.model, Percentage):
        if transactions is None or quantities:
            raise InvalidRate([Problem("", "a percentage takes --transactions, and no --quantity")])
        amounts = _parse_all("--transactions", transactions.split(","))
        return [_line(sum(amounts, Fraction(0)), rate.price_each(amounts))]
    if transactions is not None or not quantities:
        raise InvalidRate([Problem("", "takes --quantity; only a percentage takes --transactions")])
    return [_line(quantity, rate.price(quantity, group)) for quantity in _parse_all("--quantity", quantities)]


def _parse_all(option: str, texts: Sequence[str]) -> list[Fraction]:
    numbers, problems = [], []
    for text in texts:
        try:
            numbers.append(parse_decimal(text.strip()))
        except ValueError as error:
            problems.append(Problem(option, f"is {text.strip()[:80]!r}, but {error}"))
    if problems:
        raise InvalidRate(problems)
    return numbers


def _line(quantity: Fraction, amount: Fraction) -> str:
    return orjson.dumps({"quantity": plain(quantity), "amount": plain(amount)}).decode()
