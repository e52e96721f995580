"""What a process remembers by itself of what it counted: bounded, of one epoch, and believed by nobody."""

from engine.event import Counts, Event
from engine.state.epoch import Epoch
from engine.state.identity import digest_of
from engine.state.packing import Applied, Counters, SliceWrite, Stored, Verdicts
from engine.state.seen import SEEN_BITS, Seen
from engine.state.slices import ASK_LEAST, ASK_WRITES, Prepared, Slice
from tests.unit.state.events import FakeEvent


def new_slice(seen: Seen, *, nonce: int = 1) -> Slice:
    epoch = Epoch(
        0, [Stored(b"", Counters(), None)], nonce=nonce, horizon_d=34, partitions=1, seen=seen,
        queue=lambda own: None, released=lambda prepared: None, on_end=lambda reason: None,
    )  # fmt: skip
    return epoch.slices[0]


def prepared(first: int, count: int, *, identity: int | None = None) -> list[Prepared]:
    found: list[Prepared] = []
    for offset in range(first, first + count):
        event: Event = FakeEvent(b"key", 0, offset=offset)
        found.append((event, Counts(digest_of(b"%d" % (offset if identity is None else identity)))))
    return found


def write(own: Slice, batch: list[Prepared]) -> SliceWrite:
    own.gathered += batch
    own.take(1_000_000)
    return own.build()


def test_what_was_counted_is_left_out_when_it_comes_again() -> None:
    own = new_slice(Seen())
    assert write(own, prepared(0, 10)).duplicate == 0
    own.applied(Applied(False, None, []))
    assert write(own, prepared(10, 3, identity=7)).duplicate == 3


def test_the_same_twice_in_one_batch_counts_once() -> None:
    assert write(new_slice(Seen()), prepared(0, 5, identity=1)).duplicate == 4


def test_another_epoch_finds_nothing() -> None:
    """The writes of an epoch that has ended may be lost."""
    seen = Seen()
    assert write(new_slice(seen, nonce=1), prepared(0, 10)).duplicate == 0
    assert write(new_slice(seen, nonce=2), prepared(0, 10)).duplicate == 0


def test_a_newer_identity_takes_the_place_of_an_older() -> None:
    own = new_slice(Seen(bits=0))
    write(own, prepared(0, 2))
    own.applied(Applied(False, None, []))
    assert write(own, [*prepared(2, 1, identity=0), *prepared(3, 1, identity=0)]).duplicate == 1


def test_the_table_is_of_one_size() -> None:
    assert Seen().table.nbytes == 8 * 2**SEEN_BITS == 32 * 1024**2


def test_verdicts_are_believed_instead() -> None:
    own = new_slice(Seen())
    write(own, prepared(0, 2, identity=5))
    own.rejected(Verdicts([False, False]))
    assert own.build().duplicate == 0


def reject(own: Slice, first: int, count: int) -> None:
    write(own, prepared(first, count))
    own.rejected(Verdicts([False] * count))
    own.build()
    own.applied(Applied(False, None, []))


def test_rejections_one_after_another_make_the_next_writes_ask_first() -> None:
    own = new_slice(Seen())
    reject(own, 0, 2)
    assert not write(own, prepared(2, 2)).ask
    own.applied(Applied(False, None, []))
    own.gathered += prepared(1_000, 4 * ASK_LEAST)
    own.take(2)
    own.rejected(Verdicts([False, False]))
    own.take(1_000_000)
    asked = own.build().ask
    assert len(asked) == 2 * ASK_LEAST
    own.applied(Applied(False, None, [index == 3 for index in range(len(asked))]))
    own.take(1_000_000)
    following = own.build()
    assert len(following.judged) == len(asked), "no more than was asked about"
    assert [out for *_, out in following.judged].index(True) == 3
    assert following.duplicate == 1


def test_few_events_are_not_worth_a_question() -> None:
    own = new_slice(Seen())
    reject(own, 0, 1)
    reject(own, 1, 1)
    assert len(write(own, prepared(2, ASK_LEAST - 1)).judged) == ASK_LEAST - 1


def test_questions_end_where_nothing_is_found() -> None:
    own = new_slice(Seen())
    reject(own, 0, 1)
    reject(own, 1, 1)
    asked = []
    for number in range(2 * ASK_WRITES):
        own.gathered += prepared(1_000 * (number + 1), 4 * ASK_LEAST)
        own.take(1_000_000)
        asked.append(len(own.build().ask))
        own.applied(Applied(False, None, [False] * asked[-1]))
    assert asked[0] > 0
    assert asked[-1] == 0
