"""Plants that take a guard out of the runtime: each is a fault that other engines had."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from engine.core.lanes import Lane
from engine.core.limits import InFlight
from engine.errors import Unanswered
from engine.event import Dead, Event
from engine.runtime.dead_letters import DeadLetters, Waiting
from engine.runtime.intake import Intake
from engine.runtime.partition import Partition
from engine.runtime.turns import Turns
from engine.runtime.work import Work
from engine.sim.loop import EPOCH_MS
from engine.sim.patching import Named, Patch
from engine.sim.plan import DAYS_A_SECOND
from engine.sim.server import SimulatedClient
from engine.sim.shard import Shard
from engine.state import slices
from engine.state.epoch import Epoch
from engine.state.slices import Prepared

_guard = Named()
GUARDS: Final = _guard.plants


@_guard
def horizon_by_clock(patch: Patch) -> None:
    """The day of an event is that of the worker's clock when it is handled, not of its arrival."""
    arrival_day = vars(slices)["arrival_day"]
    patch(
        slices, "arrival_day",
        lambda timestamp_ms: arrival_day(
            EPOCH_MS + int(asyncio.get_running_loop().time() * DAYS_A_SECOND * 86_400_000)
        ),
    )  # fmt: skip


@_guard
def function_missing_not_loaded(patch: Patch) -> None:
    """A node that came back without the function library does not get it."""

    async def load(client: SimulatedClient, shard: Shard) -> None:
        return

    patch(SimulatedClient, "load", load)


@_guard
def late_completion_counted(patch: Patch) -> None:
    """What an epoch that is over still completes counts in the partition's next one.

    Kept three times: user code is cancelled before a partition's next epoch begins, the next epoch does not begin at
    once, and an ended epoch takes nothing; all are out.
    """
    newest: dict[tuple[int, int], Epoch] = {}
    begin, finish = Epoch.begin, Epoch.finish

    def noted(epoch: Epoch, start: int) -> None:
        newest[id(epoch._queue.__self__), epoch.partition] = epoch  # type: ignore[attr-defined]
        begin(epoch, start)

    def late(epoch: Epoch, key: bytes, prepared: Sequence[Prepared], *, waited: bool) -> None:
        heir = newest.get((id(epoch._queue.__self__), epoch.partition), epoch)  # type: ignore[attr-defined]
        finish(heir, key, prepared, waited=waited and heir is epoch)

    async def cancel(turns: Turns) -> None:
        return

    patch(Epoch, "begin", noted)
    patch(Epoch, "finish", late)

    async def at_once(partition: Partition) -> None:
        return

    patch(Turns, "cancel", cancel)
    patch(Partition, "_confirm_ownership", at_once)


@_guard
def commit_before_done(patch: Patch) -> None:
    """What was read is committed."""
    patch(Epoch, "done_offset", lambda epoch: epoch.position)


@_guard
def gap_not_crossed(patch: Patch) -> None:
    """Offsets that never arrive are waited for."""
    accept = Intake.accept

    def to_last_event(intake: Intake, events: Sequence[Event], position: int) -> None:
        accept(intake, events, events[-1].offset + 1 if events else intake.ledger.position)

    patch(Intake, "accept", to_last_event)


@_guard
def pause_lost(patch: Patch) -> None:
    """A partition that is full is fetched like any other."""
    patch(InFlight, "full", property(lambda limit: False))
    patch(InFlight, "room", lambda limit: limit._events_max)


@_guard
def in_flight_leak(patch: Patch) -> None:
    """An event that went to the dead-letter topic stays in the partition's limits."""
    released = Intake.released

    def without_dead(intake: Intake, prepared: Sequence[Prepared]) -> None:
        released(intake, [each for each in prepared if not isinstance(each[1], Dead)])

    patch(Intake, "released", without_dead)


@_guard
def retry_out_of_order(patch: Patch) -> None:
    """An event that failed is tried again behind the others of its key."""
    failed = Turns._failed

    def behind(turns: Turns, lane: Lane, events: Sequence[Event], failure: Any) -> None:
        failed(turns, lane, events, failure)
        if len(events) == 1:
            lane.events.rotate(-1)

    patch(Turns, "_failed", behind)


@_guard
def dead_letter_unacknowledged(patch: Patch) -> None:
    """A dead letter that is not acknowledged counts as written."""

    async def once(letters: DeadLetters, some: list[Waiting]) -> list[Waiting]:
        messages = [letter for waiting in some for letter in waiting.letters]
        with suppress(Unanswered):
            await letters._sender.send(messages)
        if messages:
            letters._acknowledged(some, messages)
        return []

    patch(DeadLetters, "_send", once)


@_guard
def facts_not_awaited(patch: Patch) -> None:
    """Events that arrived later than the facts are known are handed to the processor."""
    patch(Work, "until_ms", lambda work: None)
