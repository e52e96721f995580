"""What is done beyond the watermark, by example. The model is in `tests/property/test_core_done_map.py`."""

from binascii import b2a_base64
from zlib import crc32

import pytest

from engine.core.done_map import METADATA_BYTES_MAX, PREFIX, DoneMap, decode_done, encode_done
from engine.errors import ForeignMetadata


def test_nothing_beyond_the_watermark_is_no_text() -> None:
    assert encode_done(7, 7, ()) == ""
    assert encode_done(7, 10, (7, 8, 9)) == ""
    assert len(decode_done("", watermark=7, end=10)) == 0


def test_all_that_is_not_open_is_claimed() -> None:
    text = encode_done(5, 12, (5, 8, 9))
    done = decode_done(text, watermark=5, end=12)
    assert [offset for offset in range(20) if offset in done] == [6, 7, 10, 11]
    assert (len(done), done.end) == (4, 12)


@pytest.mark.parametrize("every", [2, 3, 7, 1_000])
def test_very_many_open_offsets_fit_and_only_the_far_end_is_cut(every: int) -> None:
    still_open = range(1_000, 1_000 + 20_000 * every, every)
    text = encode_done(1_000, still_open[-1] + every, still_open)
    assert len(text.encode("ascii")) <= METADATA_BYTES_MAX
    done = decode_done(text, watermark=1_000, end=still_open[-1] + every)
    assert not [offset for offset in still_open if offset in done]
    assert len(done) == sum(offset % every != 1_000 % every for offset in range(1_000, done.end)), (
        "no hole before its end"
    )
    assert len(done) > 12_000


def test_long_runs_are_short_texts() -> None:
    text = encode_done(0, 10**12, (0, 10**9))
    assert len(text) < 60
    assert 10**9 not in decode_done(text, watermark=0, end=10**12)
    assert 10**9 + 1 in decode_done(text, watermark=0, end=10**12)


def test_what_was_claimed_before_and_not_read_again_is_claimed_again() -> None:
    before = DoneMap([(11, 14), (20, 22)])
    text = encode_done(10, 13, (10, 12), before=before)
    done = decode_done(text, watermark=10, end=30)
    assert [offset for offset in range(30) if offset in done] == [11, 13, 20, 21]


def sealed(form: int, watermark: int, body: bytes, *, version: str = "1") -> str:
    content = bytes([form]) + watermark.to_bytes(8, "big") + body
    encoded = b2a_base64(crc32(content).to_bytes(4, "big") + content, newline=False).decode()
    return f"{PREFIX}{version}/{encoded}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("b64:AAAA", "does not begin with"),
        ("\u2713 caf\u00e9", "does not begin with"),
        ("x" * 100_000, "does not begin with"),
        (PREFIX, "version '' arrived, 1 was expected"),
        (sealed(0, 5, b"\x40", version="2"), "version '2' arrived"),
        (f"{PREFIX}1/", "cannot be read"),
        (f"{PREFIX}1/caf\u00e9", "cannot be read"),
        (f"{PREFIX}1/AAAAA", "cannot be read"),
        (sealed(0, 5, b"\x40")[:-1], "cannot be read"),
        (sealed(0, 5, b"\x40") + "\n", "was changed"),
        (f"{PREFIX}1/{'A' * 24}", "was changed"),
        (sealed(2, 5, b"\x40"), "was changed"),
        (sealed(0, 6, b"\x40"), "for watermark 6, 5 was expected"),
        (sealed(0, 5, b"\x00\x01"), "up to 20, but the log ends at 20"),
        (sealed(1, 5, b"\x01" + b"\xff" * 40 + b"\x01"), "but the log ends at 20"),
        (sealed(1, 5, b"\x01\x00"), "a run of it is empty"),
    ],
)
def test_foreign_text_claims_nothing(text: str, why: str) -> None:
    with pytest.raises(ForeignMetadata, match=why) as caught:
        decode_done(text, watermark=5, end=20)
    assert len(str(caught.value)) < 250
    assert "nothing is claimed" in str(caught.value)


def test_the_text_is_what_it_was() -> None:
    """A worker of the next release reads it: change the version with the layout."""
    assert encode_done(5, 12, (5, 8, 9)) == sealed(0, 5, b"\x66")
    assert encode_done(5, 300, (5, 8)) == sealed(1, 5, b"\x01\x02\x01\xa3\x02")
