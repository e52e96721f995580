"""What the engine tells of its life, and how it is written down."""

import ast
import io
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import anyio
import pytest

from engine import Counts, Engine, EngineConfig, Event, Message, Notice, Unanswered, identity_of
from engine.adapters.json_log import OWN, set_level, set_up_logging, tell
from engine.config import LIVE
from engine.notice import CAUSE_MAX, LEVELS, key_hash, shortened, telling
from engine.ports import Answer, Call
from engine.sim.broker import SimulatedBroker, SimulatedLog, SimulatedSender
from engine.sim.loop import SimulatedClock, run
from engine.sim.server import SimulatedServer

ROOT = Path(__file__).parents[2]
TOPIC = "events"
SECRET_KEY = b"customer-of-ours"


def told_names() -> set[str]:
    """The first arguments of `notice`, and of the methods that hand theirs on."""
    names = set()
    for path in (ROOT / "engine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in {"notice", "self._say", "commanded"}
                and node.args
            ):
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    names.add(first.value)
    return names


def test_the_catalogue_is_what_is_told() -> None:
    assert told_names() == set(LEVELS)


def test_a_cause_is_bounded() -> None:
    assert len(shortened("x" * 10_000)) == CAUSE_MAX + 1
    assert shortened("short") == "short"


def test_warnings_alone_are_worth_a_warning() -> None:
    notices: list[Notice] = []
    texts: list[str] = []
    told = telling(notices.append, texts.append)
    for level in ("debug", "info", "warning", "error"):
        told(Notice(level, level, level))
    assert [each.name for each in notices] == ["debug", "info", "warning", "error"]
    assert texts == ["warning", "error"]


# ---------------------------------------------------------------- the life of a pipeline, in virtual time
class Life:
    """An engine on one partition whose notices are kept."""

    def __init__(self, broker: SimulatedBroker, handler: object, **changes: object) -> None:
        self.notices: list[Notice] = []
        config = EngineConfig.from_settings({}, topic=TOPIC, group="g", **changes)
        self.engine = Engine(
            config,
            log=SimulatedLog(broker),
            sender=SimulatedSender(broker),
            clock=SimulatedClock(),
            handler=handler,  # type: ignore[arg-type]
            random=broker.random,
            tell=self.notices.append,
        )

    def named(self, name: str) -> list[Notice]:
        return [each for each in self.notices if each.name == name]

    async def until(self, name: str, count: int = 1) -> Notice:
        with anyio.fail_after(300):
            while len(self.named(name)) < count:  # noqa: ASYNC110
                await anyio.sleep(0.1)
        return self.named(name)[count - 1]


def new_broker(events: int) -> SimulatedBroker:
    broker = SimulatedBroker(Random(1), TOPIC, 1)
    for number in range(events):
        broker.append(TOPIC, 0, SECRET_KEY if number == 0 else b"other", b"%d" % number)
    return broker


def test_a_life_from_start_to_stop() -> None:
    async def scenario() -> None:
        async def handle(event: Event) -> None:
            if event.key == SECRET_KEY:
                raise ValueError("x" * 5_000)

        life = Life(new_broker(3), handle, retry_max=1, retry_base_s=0.01, on_failure="park", held_back_interval_s=2.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(life.engine.run)
            parked = await life.until("key.parked")
            held = await life.until("held_back", 2)
            life.engine.change({"retry_max": 3, "ENGINE_RETRY_CAP_S": "9"})
            life.engine.pause(partition=0)
            life.engine.resume(partition=0)
            life.engine.release(SECRET_KEY, bury=True)
            await anyio.sleep(1)
            life.engine.stop()
        assert parked.fields["key_hash"] == key_hash(SECRET_KEY)
        assert (held.fields["offset"], held.fields["attempts"], held.fields["in_flight"]) == (0, 2, 1)
        assert "parked after 2 attempts" in str(held.fields["reason"])
        assert life.named("settings.changed")[0].fields == {"retry_max": "3", "retry_cap_s": "9.0"}
        assert life.named("epoch.began")[0].fields == {"partition": 0, "position": 0, "end": 3, "read_again": 0}
        order = ["engine.started", "partition.assigned", "epoch.began", "key.parked", "settings.changed", "paused"]
        order += ["resumed", "key.released", "partition.drained", "engine.stopped"]
        seen = [each.name for each in life.notices]
        assert [name for name in seen if name in order] == order
        assert life.named("partition.drained")[0].fields == {"partition": 0, "left": 0, "watermark": 3}
        everything = repr(life.notices)
        assert SECRET_KEY.decode() not in everything, "no key in clear"
        assert max(len(str(value)) for each in life.notices for value in each.fields.values()) < 2 * CAUSE_MAX

    run(scenario)


def test_nothing_is_said_of_a_partition_that_moves_or_rests() -> None:
    """Trap 23 the other way round: who keeps up is not in the way of those that do not."""

    async def scenario() -> None:
        broker = new_broker(200)

        async def handle(event: Event) -> None:
            await anyio.sleep(0.05)

        life = Life(broker, handle, ordering="partition", held_back_interval_s=1.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(life.engine.run)
            await anyio.sleep(30)
            life.engine.stop()
        assert life.named("held_back") == []

    run(scenario)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"handler_timeout_s": 500.0}, "running"),
        ({"handler_timeout_s": 0.1, "retry_base_s": 300.0, "retry_cap_s": 300.0}, "failed: TimeoutError.*; again in"),
        ({"handler_timeout_s": 0.1, "breaker_keys": 1, "breaker_open_s": 300.0, "breaker_cap_s": 300.0}, "breaker"),
    ],
)
def test_why_a_partition_is_held_back(changes: dict[str, object], reason: str) -> None:
    """Trap 23: running, waiting for another attempt, or the circuit breaker is open."""

    async def scenario() -> None:
        async def handle(event: Event) -> None:
            await anyio.sleep(400)

        life = Life(new_broker(1), handle, held_back_interval_s=5.0, drain_s=0.1, **changes)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(life.engine.run)
            held = await life.until("held_back")
            life.engine.stop()
        assert re.search(reason, str(held.fields["reason"]))
        assert held.fields["key_hash"] == key_hash(SECRET_KEY)

    run(scenario)


def test_a_paused_partition_with_work_says_that_it_is_paused() -> None:
    async def scenario() -> None:
        async def handle(event: Event) -> None:
            await anyio.sleep(1)

        life = Life(new_broker(20), handle, held_back_interval_s=5.0, in_flight_max=3, fetch_max=3)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(life.engine.run)
            await life.until("epoch.began")
            await anyio.sleep(2)
            life.engine.pause()
            held = await life.until("held_back")
            (partition,) = life.engine.statistics().partitions
            life.engine.stop()
        assert partition.paused
        assert partition.end is not None
        assert partition.end > int(str(held.fields["offset"])) > 0
        assert held.fields["reason"] == "paused by command"

    run(scenario)


def test_a_long_way_back_is_said_whenever_an_epoch_begins() -> None:
    """Exactly once, rule 1: one event is open for long, and everything behind it is read again."""

    async def scenario() -> None:
        async def handle(event: Event) -> None:
            if event.key == SECRET_KEY:
                raise ValueError("poison")

        broker, lives = new_broker(60), []
        for _ in range(2):
            lives.append(Life(broker, handle, retry_max=0, on_failure="park", in_flight_max=5))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lives[-1].engine.run)
                await anyio.sleep(20)
                lives[-1].engine.stop()
        first, second = lives
        assert first.named("epoch.read_again") == []
        (again,) = second.named("epoch.read_again")
        assert again.level == "warning"
        assert again.fields == {"partition": 0, "position": 0, "read_again": 60}
        assert second.named("epoch.began")[0].fields["read_again"] == 60

    run(scenario)


class AwaySender:
    """The dead-letter topic is down."""

    async def send(self, messages: Sequence[Message]) -> None:
        raise Unanswered("no leader")


def test_a_dead_letter_topic_that_is_down_is_named() -> None:
    """Trap 23: dead-letter topic down."""

    async def scenario() -> None:
        async def handle(event: Event) -> None:
            raise ValueError("poison")

        notices: list[Notice] = []
        broker = new_broker(1)
        config = EngineConfig(topic=TOPIC, group="g", retry_max=0, held_back_interval_s=5.0, drain_s=1.0)
        engine = Engine(
            config, log=SimulatedLog(broker), sender=AwaySender(), clock=SimulatedClock(), handler=handle,
            random=broker.random, tell=notices.append,
        )  # fmt: skip
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await anyio.sleep(20)
            engine.stop()
        held = [each for each in notices if each.name == "held_back"]
        assert held[0].fields["reason"] == "the dead-letter topic does not answer: no leader"
        assert any(each.name == "dead_letters.unanswered" for each in notices)

    run(scenario)


class AwayServer(SimulatedServer):
    """A Redis that answers questions and takes no write."""

    async def call_many(
        self, function: str, calls: Sequence[Call], *, writes: bool, answered: Callable[[int, Answer], None]
    ) -> None:
        if not writes:
            await super().call_many(function, calls, writes=writes, answered=answered)
            return
        await anyio.sleep(0.1)
        for place in range(len(calls)):
            answered(place, Unanswered("connection refused"))


class Counting:
    def prepare(self, key: bytes, events: Sequence[Event]) -> list[Counts]:
        return [Counts(identity_of(b"", key, b"", b"%d" % event.offset)) for event in events]


def test_redis_that_takes_no_write_is_named() -> None:
    """Trap 23: waiting for Redis."""

    async def scenario() -> None:
        broker = new_broker(3)
        notices: list[Notice] = []
        engine = Engine(
            EngineConfig(topic=TOPIC, group="g", buckets=2, held_back_interval_s=5.0, drain_s=1.0),
            log=SimulatedLog(broker), sender=SimulatedSender(broker), clock=SimulatedClock(), processor=Counting(),
            state=AwayServer(broker.random), random=broker.random, tell=notices.append,
        )  # fmt: skip
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await anyio.sleep(20)
            engine.stop()
        held = [each for each in notices if each.name == "held_back"]
        assert held[0].fields["reason"] == "waiting for Redis: connection refused"
        assert held[0].fields["key_hash"] == key_hash(SECRET_KEY)
        assert any(each.name == "state.unanswered" for each in notices)

    run(scenario)


def test_what_was_being_fetched_when_a_partition_was_paused_waits_too() -> None:
    """Guards `Intake.accept`: a fetch that was under way brings events after the pause, which were counted inline."""

    async def scenario() -> None:
        broker = new_broker(0)
        engine = Engine(
            EngineConfig(topic=TOPIC, group="g", buckets=2, fetch_wait_s=5.0),
            log=SimulatedLog(broker), sender=SimulatedSender(broker), clock=SimulatedClock(), processor=Counting(),
            state=SimulatedServer(broker.random), random=broker.random,
        )  # fmt: skip
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run)
            await anyio.sleep(3)
            engine.pause(partition=0)
            broker.append(TOPIC, 0, b"k", b"v")
            await anyio.sleep(10)
            paused = engine.statistics().counters
            engine.resume(partition=0)
            await anyio.sleep(10)
            resumed = engine.statistics().counters
            engine.stop()
        assert (paused.consumed, paused.unmetered) == (1, 0), "the fetch was under way"
        assert resumed.unmetered == 1

    run(scenario)


def test_the_breaker_says_when_it_opens_and_closes() -> None:
    async def scenario() -> None:
        broker = SimulatedBroker(Random(2), TOPIC, 1)
        for number in range(50):
            broker.append(TOPIC, 0, b"k%d" % number, b"")
        down = True

        async def handle(event: Event) -> None:
            if down:
                raise ConnectionError("the dependency is down")

        life = Life(broker, handle, breaker_keys=5, breaker_open_s=0.5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(life.engine.run)
            await life.until("breaker.opened")
            life.engine.change({"concurrency": 7})
            assert life.engine.statistics().lanes.breaker_open, "another setting leaves it as it is"
            down = False
            await life.until("breaker.closed")
            await anyio.sleep(5)
            life.engine.stop()
        names = [each.name for each in life.notices if each.name.startswith("breaker.")]
        assert names == ["breaker.opened", "breaker.closed"]

    run(scenario)


def test_the_held_back_interval_may_change_while_it_runs() -> None:
    assert "held_back_interval_s" in LIVE


# ---------------------------------------------------------------- the lines
@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in ("", "aiokafka", *OWN)}
    yield io.StringIO()
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


PARKED = Notice(
    "key.parked", "its key is parked: redis://u:pw@host", "warning", {"partition": 3, "cause": "a://u:pw@h"}
)


def test_a_notice_as_json(stream: io.StringIO) -> None:
    set_up_logging("json", "info", stream)
    tell(PARKED)
    tell(Notice("quiet", "not said", "debug"))
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "name": "key.parked",
        "text": "its key is parked: redis://***@host",
        "fields": {"partition": 3, "cause": "a://***@h"},
    }


def test_a_notice_as_text_is_its_text(stream: io.StringIO) -> None:
    set_up_logging("text", "info", stream)
    tell(PARKED)
    assert stream.getvalue() == "its key is parked: redis://***@host\n"


def test_other_records_are_lines_too(stream: io.StringIO) -> None:
    set_up_logging("json", "debug", stream)
    try:
        raise ValueError("gone")
    except ValueError:
        logging.getLogger("billing.api").exception("%s failed", "GET /")
    logging.getLogger("somebody.else").info("chatter")
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["level"], line["name"], line["text"]) == ("error", "billing.api", "GET / failed")
    assert "ValueError: gone" in line["fields"]["exception"]


def test_the_level_changes_while_it_runs(stream: io.StringIO) -> None:
    set_up_logging("text", "error", stream)
    tell(PARKED)
    assert stream.getvalue() == ""
    set_level("debug")
    tell(Notice("detail", "now it is said", "debug"))
    assert stream.getvalue() == "now it is said\n"
