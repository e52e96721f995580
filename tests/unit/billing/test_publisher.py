"""What the task behind the stream shows, and how often."""

from typing import Any

import orjson
import pytest

from billing.api.hub import Viewer, Window
from billing.api.stream import Publisher
from billing.rows import by_spend
from tests.unit.billing.test_api import Bench

ACME = Window(customer="acme")


@pytest.fixture
def bench() -> Bench:
    found = Bench()
    found.use("acme", "tokens", ("m-large", "eu"), 0, 100)
    return found


def shown(viewer: Viewer) -> list[dict[str, Any]]:
    lines = viewer.take().decode().splitlines()
    return [orjson.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


async def look(bench: Bench, window: Window) -> tuple[Publisher, Viewer]:
    await bench.services.standings.fresh()
    return Publisher(bench.services), bench.services.hub.join({"totals"}, window)


async def test_a_customers_frame_says_how_old_that_customers_data_is(bench: Bench) -> None:
    publisher, viewer = await look(bench, ACME)
    bench.status.known_lag_s = 1.5
    publisher._show_totals(ACME, again=False)
    [frame] = shown(viewer)
    assert (frame["lag_s"], [row["customer"] for row in frame["rows"]]) == (1.5, ["acme"])


async def test_it_comes_again_although_no_value_changed(bench: Bench) -> None:
    publisher, viewer = await look(bench, ACME)
    publisher._show_totals(ACME, again=False)
    assert len(shown(viewer)) == 1
    publisher._show_totals(ACME, again=False)
    assert shown(viewer) == []
    bench.status.known_lag_s = 7.0
    publisher._show_totals(ACME, again=True)
    [frame] = shown(viewer)
    assert frame["lag_s"] == 7.0


async def test_a_frame_of_many_customers_has_no_lag_of_one(bench: Bench) -> None:
    publisher, viewer = await look(bench, Window())
    publisher._show_totals(Window(), again=False)
    [frame] = shown(viewer)
    assert "lag_s" not in frame


async def test_who_comes_back_before_anything_changed_gets_a_frame(bench: Bench) -> None:
    """Guards `Hub.holds`: a page that reloads leaves and comes within one turn."""
    publisher, viewer = await look(bench, Window())
    publisher._show_totals(Window(), again=False)
    bench.services.hub.leave(viewer)
    back = bench.services.hub.join({"totals"}, Window())
    publisher._show_totals(Window(), again=False)
    assert len(shown(back)) == 1


async def test_what_all_rows_say_is_worked_out_once_for_all_windows(bench: Bench) -> None:
    publisher, _ = await look(bench, Window())
    snapshot = bench.services.standings.snapshot
    publisher._show_totals(Window(), again=False)
    publisher._show_totals(ACME, again=False)
    assert snapshot.currencies() is snapshot.currencies()
    assert snapshot.in_order(by_spend) is snapshot.in_order(by_spend)
