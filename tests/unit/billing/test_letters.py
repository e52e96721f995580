"""Dead letters as people see them: grouped by kind of error, and bounded."""

from billing.api.letters import GROUPS_MAX, LetterBox
from tests.unit.billing.fakes import Record


def box(*errors: str) -> LetterBox:
    found = LetterBox()
    for offset, error in enumerate(errors):
        headers = [("source-topic", b"t"), ("source-partition", b"0"), ("source-offset", b"%d" % offset)]
        found.add(Record(b"{}", None, offset, offset, 0, "t.dead", [*headers, ("error", error.encode())]))
    return found


def groups(letters: LetterBox) -> list[tuple[str, int]]:
    page = letters.page(customer=None, before=None, limit=1)
    return [(group["error"], group["count"]) for group in page["groups"]]


def test_where_a_text_is_no_json_makes_no_other_kind_of_error() -> None:
    broken = "must be JSON: Unterminated string starting at line 1, column"
    letters = box(f"{broken} 114", f"{broken} 9", "id: is missing")
    assert groups(letters) == [("must be JSON: Unterminated string starting", 2), ("id: is missing", 1)]
    data = letters.page(customer=None, before=None, limit=9)["data"]
    assert data[-1]["error"] == f"{broken} 114", "a letter itself says where"


def test_as_many_kinds_as_there_may_be() -> None:
    letters = box(
        *(f"data.tokens: must be a number, is {number}" for number in range(GROUPS_MAX + 5)), "id: is missing"
    )
    letters.add(Record(b"{}", None, 1_000, 1_000, 0, "t.dead", [("error", b"id: is missing")]))
    found = groups(letters)
    assert len(found) == GROUPS_MAX
    assert found[0] == ("id: is missing", 2), "the most frequent are kept"
