"""What is done beyond the watermark of a partition, as text for the metadata of a commit.

A commit names one offset, the watermark: everything below it is done. What is done beyond it (the offsets between open
ones) travels beside it, so that a restart does not run it again. Two forms, of which the one that claims more, then the
shorter one, is written: a bit for every offset, or the lengths of the runs that are alternately open and done. Brokers
refuse long metadata, so a map that would not fit is cut from its far end: what is cut is not claimed and runs again.

Layout: "keylane-done/", version, "/", base64 of: checksum u32 (CRC-32 of what follows), form u8, watermark u64, body.
Body as bits: first offset first, the highest bit of a byte first, 1 is done. Body as runs: LEB128 numbers, open and
done in turn, from the watermark. After Confluent's Parallel Consumer, which has a bitset and a run-length form too.
"""

import re
import struct
from binascii import a2b_base64, b2a_base64
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from zlib import crc32

from engine.errors import ForeignMetadata

METADATA_BYTES_MAX: Final = 4_096
"""What brokers take (`offset.metadata.max.bytes`, its default)."""
VERSION: Final = "1"
PREFIX: Final = "keylane-done/"

_BITS, _RUNS = 0, 1
_CHECKSUM = struct.Struct(">I")
_HEAD = struct.Struct(">BQ")
_TEXT_BYTES_MAX = METADATA_BYTES_MAX - len(f"{PREFIX}{VERSION}/")
_BODY_BYTES_MAX = _TEXT_BYTES_MAX // 4 * 3 - _CHECKSUM.size - _HEAD.size
_BITS_MAX = _BODY_BYTES_MAX * 8
_OPEN = ord("0")


class DoneMap:
    """Offsets beyond a watermark that are done, as spans: a look-up is a binary search."""

    __slots__ = ("_claimed", "_ends", "_starts")

    def __init__(self, spans: Sequence[tuple[int, int]] = ()) -> None:
        """`spans` are half-open and ascending; none: nothing is claimed."""
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]
        self._claimed = sum(self._ends) - sum(self._starts)

    def __contains__(self, offset: int) -> bool:
        index = bisect_right(self._starts, offset) - 1
        return index >= 0 and offset < self._ends[index]

    def __len__(self) -> int:
        """How many offsets are claimed, gaps of the log among them."""
        return self._claimed

    def spans(self, start: int) -> Iterator[tuple[int, int]]:
        """What is claimed from `start` on, ascending."""
        for index in range(bisect_right(self._ends, start), len(self._ends)):
            yield max(start, self._starts[index]), self._ends[index]

    @property
    def end(self) -> int:
        """One past the last offset that is claimed; 0 if none is."""
        return self._ends[-1] if self._ends else 0


NOTHING: Final = DoneMap()


def encode_done(watermark: int, position: int, open_offsets: Iterable[int], *, before: DoneMap = NOTHING) -> str:
    """Claims [watermark, position) except the open offsets (ascending, within it), or as much as fits from its start.

    `before` is what an earlier commit claimed: of it, what lies at `position` or beyond (and was not read again yet) is
    claimed too. The text is ASCII and at most METADATA_BYTES_MAX long; "" when there is nothing to claim.
    """
    still_open = list(open_offsets)
    assert not still_open or watermark <= still_open[0] <= still_open[-1] < position, "open offsets lie elsewhere"
    beyond = list(before.spans(position))
    bits = _as_bits(watermark, position, still_open, beyond)
    runs = _as_runs(watermark, [*_between(watermark, position, still_open), *beyond])
    form, (claimed, body) = max(((_BITS, bits), (_RUNS, runs)), key=lambda each: (each[1][0], -len(each[1][1])))
    if not claimed:
        return ""
    content = _HEAD.pack(form, watermark) + body
    return _text(_CHECKSUM.pack(crc32(content)) + content)


def decode_done(text: str, *, watermark: int, end: int) -> DoneMap:
    """What `text` claims beside a commit of `watermark`; `end` is the end of the log. "" claims nothing.

    Raises:
        ForeignMetadata: not written by `encode_done` of this version for this watermark, torn, or beyond the end.
    """
    if not text:
        return DoneMap()
    form, written_at, body = _opened(text)
    if written_at != watermark:
        raise _foreign(text, f"it was written for watermark {written_at}, {watermark} was expected")
    spans = _spans_of_bits(watermark, body) if form == _BITS else _spans_of_runs(text, watermark, body)
    done = DoneMap(spans)
    if done.end > end:
        raise _foreign(text, f"it claims offsets up to {done.end - 1}, but the log ends at {end}")
    return done


def _as_bits(
    watermark: int, position: int, still_open: Sequence[int], beyond: Sequence[tuple[int, int]]
) -> tuple[int, bytes]:
    """How many offsets the body claims, and the body."""
    length = min(position - watermark, _BITS_MAX)
    digits = bytearray(b"1") * length
    for index in range(bisect_left(still_open, watermark + length)):
        digits[still_open[index] - watermark] = _OPEN
    for start, end in beyond:
        if start >= watermark + _BITS_MAX:
            break
        digits = digits.ljust(start - watermark, b"0") + b"1" * (min(end, watermark + _BITS_MAX) - start)
    digits = digits.rstrip(b"0")
    size = -(-len(digits) // 8)
    body = int(digits.ljust(size * 8, b"0") or b"0", 2).to_bytes(size, "big")
    return digits.count(b"1"), body


def _as_runs(watermark: int, done: Iterable[tuple[int, int]]) -> tuple[int, bytes]:
    body = bytearray()
    claimed, at = 0, watermark
    for start, end in done:
        pair = _number(start - at) + _number(end - start)
        if len(body) + len(pair) > _BODY_BYTES_MAX:
            break
        body += pair
        claimed, at = claimed + end - start, end
    return claimed, bytes(body)


def _between(watermark: int, position: int, still_open: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The spans between the open offsets."""
    start = watermark
    for offset in still_open:
        if start < offset:
            yield start, offset
        start = offset + 1
    if start < position:
        yield start, position


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _numbers(body: bytes) -> Iterator[int]:
    """The numbers of a body; one that is cut off is left out."""
    value, shift = 0, 0
    for byte in body:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value, shift = 0, 0


def _text(content: bytes) -> str:
    return f"{PREFIX}{VERSION}/{b2a_base64(content, newline=False).decode('ascii')}"


def _opened(text: str) -> tuple[int, int, bytes]:
    """Form, watermark and body, once prefix, version and checksum are right."""
    if not text.startswith(PREFIX):
        raise _foreign(text, f"it does not begin with {PREFIX}{VERSION}/")
    version, _, encoded = text.removeprefix(PREFIX).partition("/")
    if version != VERSION:
        raise _foreign(text, f"version {version!r} arrived, {VERSION} was expected")
    try:
        content = a2b_base64(encoded)
        (checksum,) = _CHECKSUM.unpack_from(content)
        form, watermark = _HEAD.unpack_from(content, _CHECKSUM.size)
    except (ValueError, struct.error) as error:
        raise _foreign(text, f"it cannot be read: {error}") from error
    if checksum != crc32(content[_CHECKSUM.size :]) or form not in (_BITS, _RUNS) or _text(content) != text:
        raise _foreign(text, "it was changed on its way: its checksum does not fit")
    return form, watermark, content[_CHECKSUM.size + _HEAD.size :]


def _spans_of_bits(watermark: int, body: bytes) -> list[tuple[int, int]]:
    digits = f"{int.from_bytes(body, 'big'):0{len(body) * 8}b}"
    return [(watermark + run.start(), watermark + run.end()) for run in re.finditer("1+", digits)]


def _spans_of_runs(text: str, watermark: int, body: bytes) -> list[tuple[int, int]]:
    spans = []
    at = watermark
    numbers = list(_numbers(body))
    for gap, length in zip(numbers[::2], numbers[1::2], strict=False):
        if not length:
            raise _foreign(text, "a run of it is empty")
        spans.append((at + gap, at + gap + length))
        at += gap + length
    return spans


def _foreign(text: str, why: str) -> ForeignMetadata:
    return ForeignMetadata(f"metadata of {len(text)} characters that begins {text[:40]!r}: {why}; nothing is claimed")
