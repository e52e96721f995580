"""The bound on nesting against a scan character by character.

Guards `check_depth`: a bracket within a text that is taken for a real one would refuse a good event, and one that is
overlooked would let a parser recurse.
"""

import random

import pytest

from billing.domain.json_text import DEPTH_MAX, JsonProblem, check_depth, parse


def depth_of(text: bytes) -> int:
    """The deepest nesting, where an opening bracket within a text counts for nothing."""
    deepest = depth = 0
    within = escaped = False
    for byte in text.decode("latin-1"):
        if within:
            within = escaped or byte != '"'
            escaped = byte == "\\" and not escaped
        elif byte == '"':
            within = True
        else:
            depth += (byte in "[{") - (byte in "]}")
            deepest = max(deepest, depth)
    return deepest


def refused(text: bytes) -> bool:
    try:
        check_depth(text)
    except JsonProblem:
        return True
    return False


@pytest.mark.parametrize("alphabet", [b'[[[{"]}a', b'[[[[{"\\]}a'], ids=["without escapes", "with escapes"])
def test_as_a_scan_of_every_character(alphabet: bytes) -> None:
    chance = random.Random(7)
    verdicts = set()
    for _ in range(2_000):
        text = bytes(chance.choices(alphabet, k=chance.randrange(200, 500)))
        assert refused(text) is (depth_of(text) > DEPTH_MAX), text
        verdicts.add(refused(text))
    assert verdicts == {True, False}


def test_brackets_in_texts_do_not_count() -> None:
    assert not refused(b'["' + b"[" * 1_000 + b'"]')
    assert not refused(b'["\\"' + b"[" * 1_000 + b'"]')
    assert refused(b'["\\\\"' + b"[" * DEPTH_MAX + b'"]')
    assert refused(b'["",""' + b"[" * DEPTH_MAX)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": "b', "must be JSON: Unterminated string starting at line 1, column 7"),
        (b"{", "must be JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
    ],
)
def test_what_is_no_json_is_said_with_its_place(text: bytes, said: str) -> None:
    with pytest.raises(JsonProblem) as refusal:
        parse(text)
    assert str(refusal.value) == said
