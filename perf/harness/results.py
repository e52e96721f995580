"""The folder of results: JSON a scenario, and what is made of it alone: plots, a page, a table in the README."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from perf.harness.outcome import FORMAT, Result
from perf.harness.page import bars_for_readers, page, plot_name, put_between
from perf.harness.places import README
from perf.harness.plots import svg

PAGE = "README.md"


class Unreadable(Exception):
    """A file is no result of this format."""


def save(result: Result, folder: Path) -> Path:
    """Writes `NAME.json`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.scenario}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return path


def read(path: Path) -> Result:
    """Raises Unreadable, OSError."""
    try:
        result = msgspec.json.decode(path.read_bytes(), type=Result)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"{path}: no result of format {FORMAT}: {error}; measure it again") from error
    if result.format != FORMAT:
        raise Unreadable(f"{path}: format {result.format}, {FORMAT} was expected; measure it again")
    return result


def read_all(place: Path) -> tuple[list[Result], list[str]]:
    """All of a folder, or of one file, by scenario; and what is wrong with the others. Raises OSError."""
    results: list[Result] = []
    problems: list[str] = []
    for path in sorted(place.glob("*.json")) if place.is_dir() else [place]:
        try:
            results.append(read(path))
        except Unreadable as error:
            problems.append(str(error))
    return sorted(results, key=lambda each: each.scenario), problems


def make_page(folder: Path, *, mixed: bool = False) -> list[str]:
    """Plots and page anew from the JSON files; returns what could not be read.

    The page holds results of one kind, quick or full: the newest one's. With `mixed` it holds all. Raises OSError.
    """
    results, problems = read_all(folder)
    shown, left_out = chosen(results, mixed=mixed)
    plots = {plot_name(each, plot.name): plot for each in results for plot in each.findings.plots}
    for old in folder.glob("*.svg"):
        if old.name not in plots:
            old.unlink()
    for name, plot in plots.items():
        (folder / name).write_text(svg(plot), encoding="utf-8")
    (folder / PAGE).write_text(page(shown, left_out), encoding="utf-8")
    return problems


def fill_readme(folder: Path, readme: Path = README) -> bool:
    """Puts all bars into the README, those of quick runs named so; False if there are none. Raises NoPlace, OSError."""
    found = [each for each in read_all(folder)[0] if each.findings.bars]
    if not found:
        return False
    table = bars_for_readers(found, folder.relative_to(readme.parent).as_posix())
    readme.write_text(put_between(readme.read_text(encoding="utf-8"), table), encoding="utf-8")
    return True


def chosen(results: Sequence[Result], *, mixed: bool) -> tuple[list[Result], list[Result]]:
    """What belongs on one page, and what does not."""
    if mixed or not results:
        return list(results), []
    quick = max(results, key=lambda each: each.measured_at).quick
    return [each for each in results if each.quick is quick], [each for each in results if each.quick is not quick]
