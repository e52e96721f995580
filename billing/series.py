"""The names of series: how a group of a meter version is called in the engine's cells and totals."""

from functools import lru_cache
from typing import NamedTuple

import orjson

from billing.domain.meters import Meter
from billing.domain.spend import Usage


class SeriesName(NamedTuple):
    """A series name taken apart. `group`: values in the sorted order of the group's names."""

    meter: str
    version: int
    group: tuple[str, ...]


def series_name(meter: Meter, group: tuple[str, ...]) -> bytes:
    """The name under which the engine keeps a group of a meter version."""
    return orjson.dumps([meter.name, meter.version, *group])


@lru_cache(maxsize=65_536)
def parse_series_name(name: bytes) -> SeriesName:
    """The parts of a name made by `series_name`."""
    meter, version, *group = orjson.loads(name)
    return SeriesName(meter, version, tuple(group))


def group_of(item: Usage) -> dict[str, str]:
    """The group by the names of its meter version."""
    return dict(zip(item.meter.group_names, item.group, strict=True))
