"""axe-core in the page: what it finds against WCAG 2.2 AA and its best practices, as lines to read.

Where axe cannot tell the contrast of a text, mostly since something lies on it, that is a finding too.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from selenium import webdriver

SOURCE = Path(__file__).with_name("vendor") / "axe.min.js"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast",)
"""The rules whose answer depends on colours only."""
_RUN = """
const [options, done] = arguments;
const kept = ({ violations, incomplete }) => done({ violations, incomplete });
axe.run(document, options).then(kept, (error) => done(String(error)));
"""


def findings(driver: webdriver.Chrome, rules: Iterable[str] | None = None) -> list[str]:
    """One line a place: rule, target, and what is wrong there. `rules`: only these."""
    if not driver.execute_script("return 'axe' in window"):
        driver.execute_script(SOURCE.read_text())
    only = {"type": "rule", "values": [*rules]} if rules else {"type": "tag", "values": TAGS}
    options = {"runOnly": only, "resultTypes": ["violations", "incomplete"], "elementRef": False}
    found = driver.execute_async_script(_RUN, options)
    assert isinstance(found, dict), found
    unsure = [rule for rule in found["incomplete"] if rule["id"] in COLOURS]
    return [*_lines(found["violations"]), *_lines(unsure)]


def _lines(rules: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for rule in rules:
        for node in rule["nodes"]:
            reasons = [check["message"] for kind in ("any", "all", "none") for check in node[kind]]
            yield f"{rule['id']}: {' '.join(map(str, node['target']))}: {'; '.join(reasons)}"
