"""The whole engine in virtual time, with faults; and proof that the checkers see what they are for."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from engine.core.record import Record
from engine.event import Message
from engine.sim.world import run_seed
from engine.state.epoch import Epoch, LogView
from engine.state.slices import Slice
from engine.state.writer import Writer

SEEDS = 60
FOUND_WITHIN = 40


def test_every_event_counts_once_whatever_happens() -> None:
    happened: Counter[str] = Counter()
    for seed in range(SEEDS):
        outcome = run_seed(seed)
        assert outcome.problem is None, f"seed {seed}: {outcome.problem}"
        happened += outcome.happened
    print(f"{SEEDS} seeds: {dict(happened)}")
    for fault in ("failover", "wipe", "crash", "evict", "rebalance", "join", "writes lost"):
        assert happened[fault], f"no {fault} in {SEEDS} seeds: the simulation proves less than it says"


def test_the_same_seed_gives_the_same_run() -> None:
    assert run_seed(7).happened == run_seed(7).happened


def _without_holes(patch: pytest.MonkeyPatch) -> None:
    """A record that forgets what is open."""
    complete = Slice._next_record
    patch.setattr(Slice, "_next_record", lambda own: dataclasses.replace(complete(own), holes=()))


def _without_unread_holes(patch: pytest.MonkeyPatch) -> None:
    """An epoch that forgets the holes which it has not read again."""
    begin = Slice.__init__

    def forgetful(own: Slice, *arguments: object) -> None:
        begin(own, *arguments)  # type: ignore[arg-type]
        own._unread = set()

    patch.setattr(Slice, "__init__", forgetful)


def _without_skipping(patch: pytest.MonkeyPatch) -> None:
    """An epoch that reads again what the records name as done, and counts on the identities alone."""
    patch.setattr(Slice, "is_done", lambda own, offset: False)


def _without_verdicts(patch: pytest.MonkeyPatch) -> None:
    """A rejected write that goes again as it was."""
    patch.setattr(Slice, "rejected", lambda own, answer: None)


def _without_inherited_reactions(patch: pytest.MonkeyPatch) -> None:
    """An epoch that does not react to what the one before left owing."""
    patch.setattr(Writer, "inherit", lambda writer, own, owed: None)


def _from_the_commit(patch: pytest.MonkeyPatch) -> None:
    """An epoch that trusts Kafka's committed offset."""

    def start(epoch: Epoch, log: LogView, **settings: bool) -> int:
        return log.committed or 0

    patch.setattr(Epoch, "start_offset", start)


def _without_idle_looks(patch: pytest.MonkeyPatch) -> None:
    """Slices in which nothing moves are never compared."""
    patch.setattr(Writer, "look_at", lambda writer, slices, not_since_s: None)


def _without_messages(patch: pytest.MonkeyPatch) -> None:
    """Effects are inserted, and what they send is not."""

    async def settle(writer: Writer, own: Slice, messages: Sequence[Message]) -> None:
        writer._settle(own)

    patch.setattr(Writer, "_publish", settle)


def _adopting(patch: pytest.MonkeyPatch) -> None:
    """A refusal that does not end the epoch: the stored record is adopted."""

    def adopt(writer: Writer, own: Slice, answer: object) -> None:
        own.encoded = answer.stored  # type: ignore[attr-defined]
        own.record = Record.decode(own.encoded)
        writer._settle(own)

    patch.setattr(Writer, "_refused", adopt)


@pytest.mark.parametrize(
    "plant",
    [
        _without_holes,
        _without_unread_holes,
        _without_skipping,
        _without_verdicts,
        _without_inherited_reactions,
        _from_the_commit,
        _without_idle_looks,
        _without_messages,
        _adopting,
    ],
)
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(FOUND_WITHIN):
        try:
            if run_seed(seed).problem is not None:
                return
        except (AssertionError, ExceptionGroup):
            return
    pytest.fail(f"{plant.__name__} was not found within {FOUND_WITHIN} seeds")
