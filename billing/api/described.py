"""What a route says of itself beside its code: the shape of its answer, what can go wrong, and its table.

It stands in the route's `opt`; the description of the API, the choice of a representation and tags are made from it.
"""

from dataclasses import dataclass
from typing import Any

from billing.api.problem_types import ProblemType
from billing.api.tables import Table

DESCRIBED = "described"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """`example`: the name of its example. `tagged`: the answer is likely to be asked for again and again."""

    shape: Any = None
    example: str = ""
    problems: tuple[ProblemType, ...] = ()
    status: int = 200
    about: str = "The answer."
    media_type: str = "application/json"
    table: Table | None = None
    tagged: bool = False
    takes: tuple[str, ...] = ()
    """Content types of the request."""
    needs: tuple[str, ...] = ()
    """Parameters that must be there."""
    unready: str = ""
    """The name of an example of a 503 with the same shape."""


def described(
    shape: Any, example: str, *problems: ProblemType, table: Table | None = None, tagged: bool = True, **other: Any
) -> dict[str, Any]:
    """For the `opt` of a route."""
    return {DESCRIBED: Described(shape=shape, example=example, problems=problems, table=table, tagged=tagged, **other)}
