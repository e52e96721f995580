"""The pages hold together: links lead somewhere, what is named exists, fences are what they say, Markdown is plain."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.cli import app
from engine.sim.plants import PLANTS
from tests.documents import DOCS, PAGES, ROOT, anchors, codes, fences, json_values, links, prose

FILES = re.compile(r"(?:engine|billing|tests|perf|examples|docs)/[\w./-]+|[\w.-]+\.(?:md|toml|yaml)")


# ------------------------------------------------------------------ links, pictures, files
@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page: str) -> None:
    for picture, target in links(page):
        assert not re.match(r"[a-z]+:|/", target), f"{target} is not relative: the pages must work anywhere"
        path, _, anchor = target.partition("#")
        file = (DOCS / page).parent / path if path else DOCS / page
        assert file.is_file(), target
        assert file.resolve().is_relative_to(DOCS), target
        if anchor:
            assert anchor in anchors(str(file.resolve().relative_to(DOCS))), target
        assert picture == (file.suffix in {".png", ".svg"}), target


@pytest.mark.parametrize("page", PAGES)
def test_files_and_tests_that_are_named_exist(page: str) -> None:
    for code in codes(prose(page)):
        path, _, test = code.partition("::")
        if not FILES.fullmatch(path) or path in own_files():
            continue
        assert (ROOT / path).exists(), code
        if test:
            assert re.search(rf"^(?:async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), code


def own_files() -> set[str]:
    """Files that a reader makes."""
    return {fence.saved_as for page in PAGES for fence in fences(page) if fence.saved_as}


def test_plants_and_traps_that_are_named_exist() -> None:
    text = prose("guarantees.md")
    plants = {code for part in re.findall(r"plants?\s+((?:`\w+`(?:,\s+)?)+)", text) for code in codes(part)}
    assert len(plants) > 10
    assert plants - set(PLANTS) == set()
    assert f"one of {len(PLANTS)} bugs" in text
    traps = {int(trap["number"]) for trap in tomllib.loads((ROOT / "tests/traps.toml").read_text())["trap"]}
    named = {int(number) for part in re.findall(r"traps?\s+(\d+(?:,\s+\d+)*)", text) for number in part.split(",")}
    assert named
    assert named <= traps


def test_every_page_is_in_the_navigation() -> None:
    def pages(entries: object) -> Iterator[str]:
        if isinstance(entries, str):
            yield entries
        elif isinstance(entries, list):
            for entry in entries:
                for inner in entry.values():
                    yield from pages(inner)

    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    assert sorted(pages(project["nav"])) == sorted(PAGES)
    assert project["theme"]["font"] is False
    assert project["strict"] is True
    assert "offline" not in project["plugins"]


# ------------------------------------------------------------------ fences
@pytest.mark.parametrize("page", PAGES)
def test_fences_are_what_they_say(page: str) -> None:
    for fence in fences(page):
        match fence.language:
            case "json":
                assert list(json_values(fence.text)), f"{page}:{fence.line}"
            case "toml":
                tomllib.loads(fence.text)
            case "python":
                ast.parse(fence.text)
            case "sh":
                subprocess.run(["sh", "-n"], input=fence.text, text=True, check=True)
            case other:
                assert other == "text", f"{page}:{fence.line} is in {other!r}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_fences_can_be_parsed(page: str) -> None:
    called = [
        line.strip().removesuffix("&").partition(" > ")[0].split()
        for fence in fences(page)
        if fence.language == "sh"
        for line in fence.text.splitlines()
        if line.startswith("billing ")
    ]
    for words in called:
        command, _, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
        assert command is not None


def test_the_drawing_is_ours_alone() -> None:
    drawing = (DOCS / "images" / "way-of-an-event.svg").read_text()
    assert re.findall(r"https?://\S+", drawing) == ['http://www.w3.org/2000/svg"']
    assert "prefers-color-scheme: dark" in drawing
    assert len(drawing) < 10_000


def test_markdown_is_plain() -> None:
    """Nothing that only one tool knows: no attributes, tabs, icons, or HTML but the marks of fences."""
    odd = re.compile(
        r"\{[:.#][^}]*\}|^=== |:[a-z]+-[a-z-]+:|^\?\?\?|<(?!!-- not run: |http://)[a-zA-Z/!]", re.MULTILINE
    )
    for page in PAGES:
        text = re.sub(r"`[^`\n]+`", "", prose(page))
        assert odd.findall(text) == [], page


def test_the_site_is_built_by_one_command() -> None:
    makefile = Path(ROOT / "Makefile").read_text()
    assert "zensical build --clean --strict" in makefile
    assert "requirements-docs.lock" in makefile
    assert "site/" in (ROOT / ".gitignore").read_text().splitlines()
