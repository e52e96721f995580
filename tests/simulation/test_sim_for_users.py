"""`engine.testing.simulation`: somebody's processor or handler among workers and faults."""

import doctest
import inspect
from collections.abc import Sequence
from textwrap import dedent

import anyio
import pytest

from engine import Aggregate, Cell, Counts, Dead, Effect, Event, Message, Period, Totals, identity_of
from engine.testing import simulation
from engine.testing.simulation import Given, simulate

REQUESTS = Cell.of(Aggregate.COUNT, 0, b"requests")
MONTH = Period.of(0, 30 * 86_400, keep=True, watched=True)


class Requests:
    """Counts; alerts at the tenth of a key; events named `bad` are dead."""

    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts | Dead]:
        return [
            Dead("bad") if event.value == b"bad"
            else Counts(identity_of(b"", key, b"", event.value or b""), ((REQUESTS, None),), MONTH)
            for event in events
        ]  # fmt: skip

    def react(self, totals: Totals) -> list[Effect]:
        count = sum(reading.count for reading in totals.values.values())
        return [Effect(b"ten/" + totals.key, Message("alerts", totals.key, b"ten"))] if count >= 10 else []


def events(count: int = 60) -> list[Given]:
    return [Given(b"k%d" % (number % 4), b"%d" % number) for number in range(count)]


def test_the_example_in_the_module_is_right() -> None:
    text = inspect.getdoc(simulation)
    assert text is not None
    example = dedent("\n".join(line for line in text.splitlines() if line.startswith("    ") or not line))
    names: dict[str, object] = {}
    exec(compile(example, "example", "exec"), names)
    assert names["seen"].problems == []  # type: ignore[attr-defined]
    assert doctest.DocTestParser().get_examples(text) == [], "the example is a program, not a session"


@pytest.mark.parametrize("seed", range(6))
def test_a_processor_counts_each_event_once(seed: int) -> None:
    given = [*events(), *events(20), Given(b"k1", b"bad")]
    seen = simulate(Requests, given, seed=seed, faults=12)
    assert seen.problems == []
    assert {key: cells[REQUESTS].count for key, cells in seen.cells.items()} == dict.fromkeys(seen.cells, 15)
    assert seen.effects == {b"k%d" % number: frozenset({b"ten/k%d" % number}) for number in range(4)}
    assert {message.key for message in seen.messages["alerts"]} == seen.effects.keys()
    assert {letter.value for letter in seen.dead_letters} == {b"bad"}
    assert seen.happened["events"] == len(given)


def test_faults_happen_and_the_same_seed_gives_the_same_run() -> None:
    once, again = (simulate(Requests, events(), seed=3, faults=12) for _ in range(2))
    assert once == again
    assert once.happened["epochs"] > 3
    assert simulate(Requests, events(), seed=3, faults=0).happened["crash"] == 0


def test_a_processor_that_counts_by_chance_is_seen() -> None:
    class Careless:
        """Its answers do not follow from the events."""

        made = 0

        def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
            Careless.made += len(events)
            adds = ((Cell.of(Aggregate.SUM, 0, b"s"), Careless.made),)
            return [Counts(identity_of(b"", key, b"", event.value or b""), adds) for event in events]

    assert simulate(Careless, events(), seed=1).problems != []


@pytest.mark.parametrize("seed", range(6))
def test_a_handler_keeps_its_guarantees(seed: int) -> None:
    handled: set[bytes] = set()

    async def handle(event: Event) -> None:
        await anyio.sleep(0.01)
        handled.add(event.value or b"")

    seen = simulate(handle, events(), seed=seed, faults=12)
    assert seen.problems == []
    assert handled == {event.value for event in events()}
    assert seen.cells == {}


def test_a_handler_that_fails_for_ever_ends_in_dead_letters() -> None:
    async def handle(event: Event) -> None:
        if event.value == b"7":
            raise ValueError("seven")

    seen = simulate(handle, events(), seed=2, retry_max=1)
    assert seen.problems == []
    assert {letter.value for letter in seen.dead_letters} == {b"7"}
