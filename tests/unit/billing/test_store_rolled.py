"""Usage and spend from rolled-up pages, against the cells priced one by one: random months, on days of every length."""

from collections.abc import Sequence
from fractions import Fraction
from random import Random

import pytest

from billing.domain.customers import Customer
from billing.domain.periods import Window
from billing.domain.spend import Usage, quantity_of, spend_of
from billing.series import group_of, parse_series_name, series_name
from billing.store import Store
from engine import Aggregate, Cell, Reading, Series, merge
from tests.unit.billing.fakes import CATALOG, FakeFacts, history
from tests.unit.state.pages import DAY_S, KEY, DirectServer, any_value

MARCH, NOVEMBER = "2026-03", "2026-11"
"""The clock goes forward in both zones in March; in New York it goes back in November."""
REGION = b', region = "data.region"'
VERSIONS = (CATALOG, CATALOG.replace(REGION, b""), CATALOG.replace(b'aggregation = "sum"', b'aggregation = "max"'))


class Bench:
    """Cells of all versions of both meters, and of a meter that nobody knows, around a month."""

    def __init__(self, seed: int, zone: str, month: str) -> None:
        chance = Random(seed)
        catalogs = (catalog.replace(b'time_zone = "UTC"', b'time_zone = "%b"' % zone.encode()) for catalog in VERSIONS)
        self.facts = FakeFacts(history(*catalogs))
        self.server = DirectServer()
        self.store = Store(self.server.reader, self.facts)
        self.customer: Customer = self.facts.history.newest.customer(KEY.decode())
        self.month = self.customer.time_zone.named_month(month)
        meters = [meter for name in ("tokens", "users") for meter in self.facts.history.meter_versions(name)]
        for start_s in range(self.month.start_s - DAY_S, self.month.end_s + DAY_S, 3 * 3_600):
            for meter in meters:
                group = tuple(chance.choice(("m-large", "m-small", "")) for _ in meter.group_names)
                value, members = any_value(chance, meter.aggregate)
                self.server.put(Cell.of(meter.aggregate, start_s, series_name(meter, group)), value, members)
            self.server.put(Cell.of(Aggregate.COUNT, start_s, b'["gone",1]'), *any_value(chance, Aggregate.COUNT))

    async def cells(self, span: Window) -> dict[Cell, Reading]:
        return await self.server.reader.cells(KEY, *span, members=True)

    def usage_of(self, series: Series, reading: Reading) -> Usage | None:
        name = parse_series_name(series.name)
        meter = self.facts.history.meter(name.meter, name.version)
        return None if meter is None else Usage(meter, name.group, reading)

    async def rows(self, meter: str, span: Window, window: str, group_by: Sequence[str]) -> list[tuple[object, ...]]:
        """As usage was read cell by cell."""
        rows: dict[tuple[Window, tuple[str, ...]], list[Usage]] = {}
        for cell, reading in (await self.cells(span)).items():
            item = self.usage_of(cell.series, reading)
            if item is not None and item.meter.name == meter:
                group = group_of(item)
                place = span if window == "total" else self.customer.time_zone.window(window, cell.start_s)  # type: ignore[arg-type]
                rows.setdefault((place, tuple(group.get(name, "") for name in group_by)), []).append(item)
        return [(*row, quantity_of(rows[row])) for row in sorted(rows)]


@pytest.fixture(
    scope="module",
    params=[(1, "Europe/Berlin", MARCH), (2, "America/New_York", NOVEMBER), (3, "Asia/Kathmandu", MARCH)],
)
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(*request.param)


@pytest.mark.parametrize("window", ["total", "month", "day", "hour"])
@pytest.mark.parametrize("meter", ["tokens", "users"])
@pytest.mark.parametrize("group_by", [[], ["model"], ["region", "model"]])
async def test_usage_is_that_of_the_cells(bench: Bench, window: str, meter: str, group_by: list[str]) -> None:
    part = Window(bench.month.start_s + 5 * 3_600, bench.month.end_s - 27 * 3_600)
    for span in (bench.month, part):
        rows = await bench.store.usage(bench.customer, meter, span, window, group_by)  # type: ignore[arg-type]
        found = [(row.window, tuple(row.group.values()), row.value) for row in rows]
        assert found == await bench.rows(meter, span, window, group_by)
        assert {type(value) for _, _, value in found} == {Fraction}


async def test_spend_is_that_of_the_cells(bench: Bench) -> None:
    """Of the month, and by the end of each of its days."""
    customer = bench.customer
    assert customer.plan is not None
    assert customer.currency is not None
    so_far: dict[Series, Reading] = {}
    expected = []
    cells = sorted((await bench.cells(bench.month)).items(), key=lambda item: item[0].start_s)
    for window in customer.time_zone.windows("day", *bench.month):
        for cell, reading in cells:
            if window.start_s <= cell.start_s < window.end_s:
                before = so_far.get(cell.series)
                so_far[cell.series] = reading if before is None else merge(cell.series.aggregate, before, reading)
        usage = [item for series, one in so_far.items() if (item := bench.usage_of(series, one)) is not None]
        spend = spend_of(customer.plan, customer.currency, usage)
        expected.append((window, spend.lines, spend.total))
    steps = await bench.store.spend_by_window(customer, bench.month, "day")
    assert [(window, spend.lines, spend.total) for window, spend in steps] == expected
    statement = await bench.store.statement(customer, bench.month)
    assert statement.spend is not None
    assert (statement.spend.lines, statement.spend.total) == expected[-1][1:]
