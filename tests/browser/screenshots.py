"""`python -m tests.browser.screenshots [--into FOLDER] [--all]`: the page as people see it, on made-up figures.

Without `--all` only the few that the documentation shows.
"""

import argparse
import base64
import time
from pathlib import Path

from selenium import webdriver

from tests.browser.chromium import browsing, resize
from tests.browser.fake_api import serving

SIZES = {"wide": (1280, 800), "narrow": (390, 844)}
VIEWS = {"spend": "/", "customer": "/customers/acme", "alerts": "/alerts", "pipeline": "/pipeline"}
SHOWN = {("load", view, "wide", scheme) for view in VIEWS for scheme in ("light", "dark")} | {
    ("load", "spend", "narrow", "light"),
    ("load", "customer", "narrow", "dark"),
    ("no_events", "spend", "wide", "light"),
    ("disconnected", "spend", "wide", "light"),
}
STATES = ("load", "no_events", "unconfigured", "disconnected", "delayed", "part_failed", "bare")
SETTLE_S = 3.0


def shoot(driver: webdriver.Chrome, path: Path, *, whole: bool = False) -> None:
    image = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
    path.write_bytes(base64.b64decode(image["data"]))


def take(folder: Path, *, everything: bool) -> int:
    """Writes the pictures and returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for scheme in ("light", "dark"):
        for state in STATES:
            wanted = [
                (state, v, s, scheme) for v in VIEWS for s in SIZES if everything or (state, v, s, scheme) in SHOWN
            ]
            if wanted:
                count += _take_state(folder, state, scheme, wanted)
    return count


def _take_state(folder: Path, state: str, scheme: str, wanted: list[tuple[str, str, str, str]]) -> int:
    first = "load" if state == "disconnected" else state
    with serving(first) as (api, address), browsing(dark=scheme == "dark") as driver:
        for _, view, size, _ in wanted:
            api.state = first
            resize(driver, *SIZES[size])
            driver.get(address + VIEWS[view])
            time.sleep(SETTLE_S)
            if state == "disconnected":
                api.state = state
                time.sleep(SETTLE_S)
            shoot(driver, folder / f"{view}-{state.replace('_', '-')}-{size}-{scheme}.png")
    return len(wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    print(f"{take(options.into, everything=options.all)} screenshots in {options.into}")


if __name__ == "__main__":
    main()
