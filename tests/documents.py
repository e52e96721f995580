"""The pages of `docs/` as tests see them: headings, links, tables and fences, as far as the pages use Markdown.

A fence that comes with a file's name ("Save this as `catalog.toml`:") is that file. One with a mark before it
(`<!-- not run: needs Docker -->`) is not run.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = tuple(sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")))
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
SAVED = re.compile(r"Save this as\s+`([\w.-]+)`[^`]*\Z")
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"(#{1,6}) (.+)")
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Fence:
    """`line` counts from 1; `saved_as` names the file that it is; `not_run` says why it is left out."""

    language: str
    text: str
    line: int
    saved_as: str | None
    not_run: str | None


class Link(NamedTuple):
    picture: bool
    target: str


@cache
def read(page: str) -> str:
    return (DOCS / page).read_text()


@cache
def fences(page: str) -> tuple[Fence, ...]:
    found: list[Fence] = []
    lines = read(page).split("\n")
    begun: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if begun is None:
            begun = number
            continue
        mark = NOT_RUN.fullmatch(lines[begun - 1])
        saved = SAVED.search(_paragraph_before(lines, begun))
        found.append(
            Fence(
                language=lines[begun].removeprefix("```"),
                text="\n".join(lines[begun + 1 : number]) + "\n",
                line=begun + 1,
                saved_as=saved[1] if saved else None,
                not_run=mark[1] if mark else None,
            )
        )
        begun = None
    assert begun is None, f"{page}: a fence is not closed"
    return tuple(found)


def _paragraph_before(lines: list[str], fence: int) -> str:
    """The text that ends above the empty line before a fence."""
    end = fence - 1
    begin = end
    while begin > 0 and lines[begin - 1].strip():
        begin -= 1
    return "\n".join(lines[begin:end])


@cache
def prose(page: str) -> str:
    """The page without its fences."""
    return re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)


def headings(page: str, level: int | None = None) -> list[str]:
    """In their order, of one level or all."""
    matches = (HEADING.fullmatch(line) for line in prose(page).splitlines())
    return [match[2] for match in matches if match and level in {None, len(match[1])}]


def anchors(page: str) -> set[str]:
    """Of all headings, as Python-Markdown makes them; a second equal one would be `…_1`."""
    slugs = [slug(heading) for heading in headings(page)]
    assert len(slugs) == len(set(slugs)), f"{page}: two headings with one anchor"
    return set(slugs)


def slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading.replace("`", "")).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def links(page: str) -> list[Link]:
    return [Link(bool(match[1]), match[2]) for match in LINK.finditer(prose(page))]


def rows(page: str, heading: str | None = None) -> Iterator[list[str]]:
    """The rows of all tables, or of those below one heading (up to the next one): cells, without the first row."""
    within, head = heading is None, True
    for line in prose(page).splitlines():
        if match := HEADING.fullmatch(line):
            within = heading is None or match[2] == heading
        if not line.startswith("|"):
            head = True
        elif head or set(line) <= set("|- "):
            head = False
        elif within:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def codes(text: str) -> list[str]:
    """What stands in backticks."""
    return CODE.findall(text)


def json_values(text: str) -> Iterator[object]:
    """One JSON value after the other. Raises ValueError."""
    decoder, at = json.JSONDecoder(), 0
    while rest := text[at:].lstrip():
        value, end = decoder.raw_decode(rest)
        yield value
        at = len(text) - len(rest) + end
