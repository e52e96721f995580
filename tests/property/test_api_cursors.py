"""Whoever walks through the pages of a list while it changes sees each entry that was there all the time exactly once.

Each step of a walk is followed by any changes. What came or went on the way may be seen or not, but never twice.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction

import orjson
from hypothesis import given
from hypothesis import strategies as st

from billing.api.alert_feed import AlertFeed
from billing.api.letters import LetterBox
from billing.api.walks import ORDERS, Moments, read_page
from billing.domain.periods import Window
from billing.rows import Row, Snapshot
from tests.unit.billing.fakes import Record, catalog

NAMES = [f"c{number}" for number in range(12)]
CATALOG = catalog()
spends = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5), min_size=1)
"""Who is there, and what they have spent: few amounts, so that many are equal."""


def check(walked: Sequence[Sequence[str]], present: Sequence[set[str]]) -> None:
    """`walked`: the entries of each page; `present`: what was there when each was read."""
    seen = [entry for page in walked for entry in page]
    assert len(seen) == len(set(seen)), f"seen twice: {seen}"
    assert set.intersection(*present) <= set(seen), f"missed: {set.intersection(*present) - set(seen)}"


# ------------------------------------------------------------------ customers
def snapshot(as_of_ms: int, spend_of: dict[str, int]) -> Snapshot:
    rows = [
        Row(CATALOG.customer(name), Window(0, 1), Decimal(spend), Fraction(spend, 5), spend < 5)
        for name, spend in spend_of.items()
    ]
    return Snapshot(as_of_ms, tuple(rows))


@given(st.sampled_from(sorted(ORDERS)), st.integers(1, 4), st.lists(spends, min_size=13, max_size=13))
def test_customers(order: str, count: int, states: list[dict[str, int]]) -> None:
    """Any state of all rows may follow any other. By spend and share, what was there is what was at the beginning."""
    moments = Moments()
    walked, present, after = [], [], None
    for number, spend_of in enumerate(states):
        page = read_page(snapshot(1_000 + number, spend_of), moments, order, after, count, lambda row: True)
        walked.append([row.customer.id for row in page.rows])
        present.append(set(spend_of if order == "customer" else states[0]))
        after = page.next
        if after is None:
            break
    assert after is None, "a walk ends"
    check(walked, present)


@given(st.integers(1, 3), st.lists(spends, min_size=13, max_size=13), st.integers(0, 40))
def test_customers_while_many_begin(count: int, states: list[dict[str, int]], others: int) -> None:
    """Others who only look at the first page take no moment from a walk that goes on."""
    moments = Moments()
    walked, after = [], None
    for number, spend_of in enumerate(states):
        page = read_page(snapshot(1_000 + 100 * number, spend_of), moments, "-spend", after, count, lambda row: True)
        walked.append([row.customer.id for row in page.rows])
        after = page.next
        if number:
            for other in range(others):
                read_page(
                    snapshot(1_001 + 100 * number + other, spend_of), moments, "-spend", None, 1, lambda row: True
                )
        if after is None:
            break
    check(walked, [set(states[0])])


# ------------------------------------------------------------------ what comes from a topic
arrivals = st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=5), min_size=1, max_size=8)
"""For each step the records that come before it: (partition, timestamp); timestamps go up and down."""


Add = Callable[[int, int, int], str | None]
"""Adds the record of a partition, offset and timestamp: what the walk must see, if it must."""
Read = Callable[[str | None], tuple[list[str], str | None]]


def walk(steps: list[list[tuple[int, int]]], add: Add, read: Read) -> None:
    offsets = dict.fromkeys(range(3), 0)
    known: set[str] = set()
    walked, present = [], []
    after, ended = None, False
    for records in steps + [[]] * 60:
        for partition, timestamp_ms in records:
            if entry := add(partition, offsets[partition], timestamp_ms):
                known.add(entry)
            offsets[partition] += 1
        if ended:
            break
        entries, after = read(after)
        walked.append(entries)
        present.append(set(known))
        ended = after is None
    assert ended, "a walk ends"
    check(walked, present)


@given(st.booleans(), st.sampled_from([None, "even"]), st.integers(1, 3), arrivals)
def test_alerts(newest_first: bool, customer: str | None, limit: int, steps: list[list[tuple[int, int]]]) -> None:
    feed = AlertFeed(kept_max=1_000)
    numbers = iter(range(1_000))

    def add(partition: int, offset: int, timestamp_ms: int) -> str | None:
        number = next(numbers)
        name = "odd" if number % 2 else "even"
        feed.add(partition, offset, timestamp_ms, orjson.dumps({"id": f"{number}", "customer": name}))
        return f"{number}" if customer in (None, name) else None

    def read(after: str | None) -> tuple[list[str], str | None]:
        find = feed.before if newest_first else feed.after
        page = find(after, customer=customer, limit=limit)
        return [alert.id for alert in page.alerts], page.next

    walk(steps, add, read)


@given(st.integers(1, 3), arrivals)
def test_letters(limit: int, steps: list[list[tuple[int, int]]]) -> None:
    box = LetterBox()

    def add(partition: int, offset: int, timestamp_ms: int) -> str:
        source = 10 * offset + partition
        headers = [("source-topic", b"t"), ("source-partition", b"0"), ("source-offset", b"%d" % source)]
        box.add(Record(b"{}", None, offset, timestamp_ms, partition, "t.dead", headers))
        return str(source)

    def read(after: str | None) -> tuple[list[str], str | None]:
        page = box.page(customer=None, before=after, limit=limit)
        return [str(letter["offset"]) for letter in page["data"]], page["next"]

    walk(steps, add, read)


@given(arrivals)
def test_letters_are_in_one_order_everywhere(steps: list[list[tuple[int, int]]]) -> None:
    """A cursor of one process means the same in another, which read the partitions in another order."""
    records = []
    offsets = dict.fromkeys(range(3), 0)
    for partition, timestamp_ms in [record for step in steps for record in step]:
        source = b"%d" % (10 * offsets[partition] + partition)
        headers = [("source-topic", b"t"), ("source-partition", b"0"), ("source-offset", source)]
        records.append(Record(b"{}", None, offsets[partition], timestamp_ms, partition, "t.dead", headers))
        offsets[partition] += 1
    one, other = LetterBox(), LetterBox()
    for record in records:
        one.add(record)
    for record in sorted(records, key=lambda each: -each.partition):
        other.add(record)
    whole = one.page(customer=None, before=None, limit=100)
    assert other.page(customer=None, before=None, limit=100)["data"] == whole["data"]
    first = one.page(customer=None, before=None, limit=1)
    if first["next"] is not None:
        rest = other.page(customer=None, before=first["next"], limit=100)
        assert first["data"] + rest["data"] == whole["data"]
