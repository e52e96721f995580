import random

import orjson
import pytest

from billing.api.alert_feed import AlertFeed, CursorLost
from billing.api.ranks import CursorInvalid


def body(name: str, customer: str = "acme") -> bytes:
    return orjson.dumps({"id": name, "customer": customer})


def feed(*names: str, kept_max: int = 100) -> AlertFeed:
    found = AlertFeed(kept_max=kept_max)
    for offset, name in enumerate(names):
        found.add(0, offset, 1_000 + offset, body(name))
    return found


def ids(page: object) -> list[str]:
    return [alert.id for alert in page.alerts]  # type: ignore[attr-defined]


def test_oldest_first_in_pages() -> None:
    found = feed(*"abcde")
    first = found.after(None, limit=2)
    second = found.after(first.next, limit=2)
    third = found.after(second.next, limit=2)
    assert [ids(page) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert third.next is None


def test_a_full_last_page_is_the_end() -> None:
    assert feed(*"ab").after(None, limit=2).next is None


def test_newest_first_in_pages() -> None:
    found = feed(*"abcde")
    first = found.before(None, limit=3)
    second = found.before(first.next, limit=3)
    assert (ids(first), ids(second), second.next) == (["e", "d", "c"], ["b", "a"], None)


def test_the_first_copy_of_an_alert_stands() -> None:
    found = AlertFeed(kept_max=10)
    assert found.add(0, 0, 1, b'{"id":"a","customer":"x","spend":"1"}') is not None
    assert found.add(0, 1, 2, b'{"id":"a","customer":"x","spend":"2"}') is None
    assert [alert.content["spend"] for alert in found.after(None, limit=9).alerts] == ["1"]


def test_records_that_are_read_again_or_are_no_alerts() -> None:
    found = feed("a")
    assert found.add(0, 0, 1, body("b")) is None
    for offset, value in enumerate((b"{", b"[]", b"null", b"{}", None), start=1):
        assert found.add(0, offset, 1, value) is None
    assert ids(found.after(None, limit=9)) == ["a"]


def test_only_a_customer() -> None:
    found = AlertFeed(kept_max=10)
    for offset, customer in enumerate("xyxyx"):
        found.add(0, offset, offset, body(str(offset), customer))
    first = found.after(None, customer="x", limit=2)
    assert ids(first) == ["0", "2"]
    assert ids(found.after(first.next, customer="x", limit=2)) == ["4"]
    assert ids(found.before(None, customer="y", limit=9)) == ["3", "1"]


def test_a_cursor_misses_nothing_whatever_partition_it_comes_from() -> None:
    """Readers page at any time while alerts arrive in several partitions with clocks of their own."""
    chance = random.Random(7)
    found, offsets, seen, cursor, added = AlertFeed(kept_max=1_000), [0, 0, 0], [], None, 0
    for _ in range(400):
        partition = chance.randrange(3)
        found.add(partition, offsets[partition], chance.randrange(1_000), body(f"{partition}-{offsets[partition]}"))
        offsets[partition] += 1
        added += 1
        if chance.random() < 0.2:
            page = found.after(cursor, limit=5)
            seen += ids(page)
            cursor = page.next or found.position()
    seen += ids(found.after(cursor, limit=1_000))
    assert len(seen) == len(set(seen)) == added


def test_beyond_the_bound_the_oldest_leave() -> None:
    found = feed(*"abcdefghij", kept_max=5)
    assert len(ids(found.after(None, limit=99))) <= 5
    assert ids(found.before(None, limit=1)) == ["j"]


def test_a_cursor_into_what_is_gone() -> None:
    found = feed("a", "b", kept_max=3)
    old = found.after(None, limit=1).next
    for offset, name in enumerate("cdefg", start=2):
        found.add(0, offset, 2_000 + offset, body(name))
    with pytest.raises(CursorLost):
        found.after(old, limit=9)


@pytest.mark.parametrize("cursor", ["x", "!!", "bnVsbA", "W10", "eyJ2IjoxfQ", "eyJyIjpbMV19"])
def test_a_cursor_that_is_none(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        feed("a").after(cursor, limit=1)
    with pytest.raises(CursorInvalid):
        feed("a").before(cursor, limit=1)
