"""One CloudEvent in, or every problem it has. Trap 26: bad input gets a reason, and the same one everywhere."""

import json
import sys
import threading
from decimal import Decimal
from typing import Any

import pytest

from billing.domain.problems import InvalidEvent
from billing.domain.timestamps import parse_time_us
from billing.domain.usage import (
    DOOR_GRACE_S,
    EVENT_BYTES_MAX,
    LOG_GRACE_S,
    UsageEvent,
    check_key,
    decode,
    moment_us,
)

GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "a-1",
    "source": "gateway",
    "type": "llm.tokens",
    "subject": "acme",
    "time": "2026-11-23T11:00:00Z",
    "data": {"tokens": 4821, "model": "m-large", "region": "eu"},
}
ARRIVAL_MS = parse_time_us("2026-11-23T11:00:00Z") // 1000
DAY_MS = 86_400_000


def event(**changed: Any) -> bytes:
    members = {name: value for name, value in (GOOD | changed).items() if value is not ...}
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def with_data(raw: str) -> bytes:
    return event(data="RAW").replace(b'"RAW"', raw.encode())


def fields_of(value: bytes | None) -> list[str]:
    with pytest.raises(InvalidEvent) as caught:
        decode(value)
    assert all(problem.message for problem in caught.value.problems)
    return [problem.field for problem in caught.value.problems]


def message_of(value: bytes | None) -> str:
    with pytest.raises(InvalidEvent) as caught:
        decode(value)
    return str(caught.value)


def test_a_good_event_is_read_whole() -> None:
    found = decode(event())
    assert (found.id, found.source, found.type, found.subject) == ("a-1", "gateway", "llm.tokens", "acme")
    assert found.time == "2026-11-23T11:00:00Z"
    assert found.data == GOOD["data"]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("9007199254740993.05", Decimal("9007199254740993.05")),
        ("123456789012345.123456789012", Decimal("123456789012345.123456789012")),
        ("9223372036854775808", 2**63),
        ("-9223372036854775809", -(2**63) - 1),
        ("18446744073709551617", 2**64 + 1),
        ("1e5", Decimal("1e5")),
        ("-0.0", Decimal("-0.0")),
    ],
)
@pytest.mark.parametrize("path", ["fast", "strict"])
def test_numbers_keep_every_digit(raw: str, value: object, path: str) -> None:
    escape = "" if path == "fast" else ',"escaped":"\\n"'
    found = decode(with_data(f'{{"x":{raw}{escape}}}')).data["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        event(data={"deep": {"deeper": [1, {"x": "y"}]}}),
        event(data=[1, "x"]),
        event(data="text"),
        event(data=None),
        event(data=...),
        event(time=None),
        event(time=...),
        event(datacontenttype="application/json"),
        event(traceparent="00-ab-cd-01", sampledrate=3),
        event(subject='q"uo\\te'),
        event(subject="Zürich ☃"),
        event(subject="ü" * 128),
        event(id="i" * 512, source="s" * 512),
        json.dumps(GOOD, indent=2).encode(),
        b" " + event() + b"\n",
    ],
)
def test_every_way_of_writing_an_event_reads_the_same(value: bytes) -> None:
    members = json.loads(value)
    found = decode(value)
    for name in UsageEvent.__struct_fields__:
        assert getattr(found, name) == members.get(name)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (event(specversion="0.3"), ["specversion"]),
        (event(specversion=...), ["specversion"]),
        (event(id=...), ["id"]),
        (event(id=""), ["id"]),
        (event(id=5), ["id"]),
        (event(id="i" * 513), ["id"]),
        (event(source="ü" * 257), ["source"]),
        (event(subject=None), ["subject"]),
        (event(subject="s" * 257), ["subject"]),
        (event(subject="ü" * 129), ["subject"]),
        (event(type=""), ["type"]),
        (event(time=5), ["time"]),
        (event(datacontenttype=5), ["datacontenttype"]),
        (event(id="", source=..., subject=[], specversion=1), ["specversion", "id", "source", "subject"]),
        (b"[]", [""]),
        (b"{}", ["specversion", "id", "source", "type", "subject"]),
        (b'"x"', [""]),
    ],
)
def test_every_problem_is_listed_by_field(value: bytes, fields: list[str]) -> None:
    assert fields_of(value) == fields


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"\xff\xfe{}", "UTF-8"),
        (event().replace(b"acme", b"\xff"), "UTF-8"),
        (event(x="X").replace(b'"X"', b'"\xff"'), "UTF-8"),
        (event()[:-1], "JSON"),
        (event() + b"x", "JSON"),
        (b"\xef\xbb\xbf" + event(), "JSON"),
        (with_data('{"x":NaN}'), "NaN|JSON"),
        (with_data('{"x":-Infinity}'), "Infinity|JSON"),
        (with_data('{"x":01}'), "JSON"),
        (with_data('{"x":1e999999999999999999999}'), "number"),
        (with_data('{"x":1e500000}'), "number"),
        (with_data('{"x":' + "9" * 4000 + "}"), "digits"),
        (with_data('{"x":-' + "9" * 64 + "}"), "digits"),
        (with_data('{"x":0.' + "9" * 4000 + "}"), "digits"),
        (with_data('{"x":1,"x":1}'), "twice"),
        (with_data('{"x":{"y":1,"y":2}}'), "twice"),
        (with_data('{"x":1,"\\u0078":2}'), "twice"),
        (event().replace(b'"id":"a-1"', b'"id":"a-1","id":"a-2"'), "twice"),
        (event().replace(b'"id":"a-1"', b'"id" :"a-1", "id" : "a-2"'), "twice"),
        (event(other="X").replace(b'"X"', b'"X","other":1'), "twice"),
        (with_data('{"x":"\\ud800"}'), "surrogate"),
        (event(other="X").replace(b'"X"', b'"\\udfff"'), "surrogate"),
        (with_data("[" * 64 + "]" * 64), "nest"),
        (with_data("[" * 100_000 + "]" * 100_000), "nest"),
        (with_data('{"a":' * 40_000 + "1" + "}" * 40_000), "nest"),
        (event(other="X").replace(b'"X"', b"[" * 100_000 + b"]" * 100_000), "nest"),
        (b"[" * 200_000, "nest"),
        (event(data="x" * EVENT_BYTES_MAX), "bytes"),
        (event() + b" " * 50_000_000, "bytes"),
    ],
)
def test_what_no_two_parsers_agree_on_is_refused_with_a_reason(value: bytes | None, reason: str) -> None:
    message = message_of(value)
    assert any(word in message for word in reason.split("|")), message
    assert len(message) < 500


def test_unterminated_text_full_of_escapes_is_refused_in_linear_time() -> None:
    message = message_of(b"[" * 65 + b'"' + b'\\"' * 130_000)
    assert "nest" in message or "JSON" in message


def test_the_deepest_nest_is_read_and_the_verdict_does_not_depend_on_the_stack() -> None:
    """Guards the bound on nesting: without it a deep caller would refuse what a shallow one accepts."""
    deepest, too_deep = with_data("[" * 63 + "]" * 63), with_data("[" * 64 + "]" * 64)
    verdicts: list[bool] = []

    def judge(frames: int) -> None:
        if frames:
            judge(frames - 1)
            return
        for value in (deepest, too_deep):
            try:
                decode(value)
                verdicts.append(True)
            except InvalidEvent:
                verdicts.append(False)

    for frames in (0, sys.getrecursionlimit() // 2):
        thread = threading.Thread(target=judge, args=(frames,))
        thread.start()
        thread.join()
    assert verdicts == [True, False] * 2


def test_the_largest_event_is_accepted() -> None:
    room = EVENT_BYTES_MAX - len(event(data=""))
    assert decode(event(data="x" * room)).data == "x" * room


def test_the_key_is_the_subject() -> None:
    found = decode(event(subject="Zürich"))
    check_key(found, "Zürich".encode())
    for key in (None, b"", b"zurich", b"\xff"):
        with pytest.raises(InvalidEvent) as caught:
            check_key(found, key)
        assert [problem.field for problem in caught.value.problems] == ["subject"]


# ---------------------------------------------------------------- when it happened


def moment(time: str | None, grace_s: int, arrival_ms: int = ARRIVAL_MS) -> int:
    found = decode(event(time=time))
    return moment_us(found, arrival_ms, horizon_d=34, grace_s=grace_s)


def at(offset_us: int) -> str:
    from billing.domain.timestamps import time_text

    return time_text(ARRIVAL_MS * 1000 + offset_us)


def test_without_a_time_the_arrival_stands_in() -> None:
    assert moment(None, LOG_GRACE_S) == ARRIVAL_MS * 1000


HOUR_US = 3_600_000_000
BACK_US, AHEAD_US = -34 * 24 * HOUR_US, 24 * HOUR_US


@pytest.mark.parametrize(
    ("offset_us", "door", "log"),
    [
        (BACK_US, True, True),
        (BACK_US - 1, False, True),
        (BACK_US - HOUR_US + 1, False, True),
        (BACK_US - HOUR_US, False, False),
        (AHEAD_US, True, True),
        (AHEAD_US + 1, False, True),
        (AHEAD_US + HOUR_US - 1, False, True),
        (AHEAD_US + HOUR_US, False, False),
    ],
)
def test_the_log_accepts_for_an_hour_more_than_the_door(offset_us: int, door: bool, log: bool) -> None:
    for accepted, grace_s in ((door, DOOR_GRACE_S), (log, LOG_GRACE_S)):
        if accepted:
            assert moment(at(offset_us), grace_s) == ARRIVAL_MS * 1000 + offset_us
        else:
            with pytest.raises(InvalidEvent, match="time: must not be more than"):
                moment(at(offset_us), grace_s)


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "yesterday", ""]
)
def test_times_that_cannot_be_are_refused(time: str) -> None:
    with pytest.raises(InvalidEvent, match="time: must"):
        moment(time, LOG_GRACE_S)


@pytest.mark.parametrize("arrival_ms", [-1, -(2**63), 2**63 - 1, 253_402_300_799_999])
def test_an_arrival_that_cannot_be_is_refused_and_not_a_crash(arrival_ms: int) -> None:
    for time in (None, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-11-23T11:00:00Z"):
        with pytest.raises(InvalidEvent, match="time: must"):
            moment(time, LOG_GRACE_S, arrival_ms)
