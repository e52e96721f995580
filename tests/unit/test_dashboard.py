"""The page's files: their names, their sizes, what is vendored, and its pure modules (by node, where it is)."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from billing.dashboard.assets import STATIC, Assets, load_assets

VENDOR = STATIC / "vendor"
BROWSER_TESTS = Path(__file__).parents[1] / "browser"
MODULES = Path(__file__).with_name("dashboard_modules.test.mjs")


@pytest.fixture(scope="module")
def assets() -> Assets:
    return load_assets()


def packed_bytes(assets: Assets, pattern: str) -> int:
    found = [asset.content for path, asset in assets.files.items() if re.search(pattern, path)]
    assert found
    return sum(len(gzip.compress(content, 9)) for content in found)


@pytest.mark.parametrize("folder", [VENDOR, BROWSER_TESTS / "vendor"], ids=["page", "tests"])
def test_vendored_files_are_the_ones_listed(folder: Path) -> None:
    listed = json.loads((folder / "vendored.json").read_text())
    for entry in listed:
        assert hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert all(entry[name] for name in ("version", "licence", "package"))
    kept = {entry[name] for entry in listed for name in entry if name == "file" or name.endswith("licence_file")}
    assert all((folder / name).stat().st_size > 0 for name in kept)
    assert all("licence_file" in entry for entry in listed)
    assert {path.name for path in folder.iterdir()} == kept | {"vendored.json"}


def test_a_name_carries_the_hash_of_the_content(assets: Assets) -> None:
    for path, asset in assets.files.items():
        assert hashlib.sha256(asset.content).hexdigest()[:12] in path
        assert asset.cacheable
        assert assets.get(path) is asset
    assert assets.get("/assets/app.js") is None


def test_every_reference_leads_to_a_file(assets: Assets) -> None:
    texts = [assets.html, *(a.content for a in assets.files.values() if a.content_type.startswith("text/"))]
    references = {found for text in texts for found in re.findall(r'["(](/assets/[^")]+)', text.decode())}
    assert len(references) >= 6
    assert references <= set(assets.files)


def test_a_changed_module_changes_the_names_of_all_that_refer_to_it(assets: Assets, tmp_path: Path) -> None:
    folder = shutil.copytree(STATIC, tmp_path / "static")
    (folder / "format.js").write_text((folder / "format.js").read_text() + "const another = 1;\n")
    changed = load_assets(folder)
    assert changed.html != assets.html
    assert len(set(assets.files) - set(changed.files)) == 1


def test_modules_that_cannot_be_joined_are_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(STATIC, tmp_path / "static")
    (folder / "format.js").write_text('import { html } from "./parts.js";\n' + (folder / "format.js").read_text())
    with pytest.raises(ValueError, match="in a circle"):
        load_assets(folder)
    (folder / "format.js").write_text((STATIC / "format.js").read_text() + "const html = 1;\n")
    with pytest.raises(ValueError, match="the same names: html"):
        load_assets(folder)


def test_comments_are_not_sent(assets: Assets) -> None:
    (module,) = (asset.content.decode() for path, asset in assets.files.items() if "/app." in path)
    assert re.search(r"^const \w+ = .*;$", module, re.MULTILINE)
    assert not re.search(r"^\s*//|; //|/\*\*", module, re.MULTILINE)


def test_markup_carries_no_script_and_no_style(assets: Assets) -> None:
    markup = assets.html.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", markup)
    for module in STATIC.glob("*.js"):
        assert not re.search(r"innerHTML|\beval\b|new Function|style=\"|http://(?!www\.w3\.org)", module.read_text()), (
            module
        )


def test_first_answers_travel_as_data(assets: Assets) -> None:
    page = assets.html_with({"/v1/overview": b'{"name":"</script><b>"}', "/readyz": b"{}"}).decode()
    found = re.search(r'<script type="application/json" id="snapshot">(.*?)</script>', page)
    assert found
    assert json.loads(found[1]) == {"/v1/overview": {"name": "</script><b>"}, "/readyz": {}}


def test_the_page_stays_within_its_budget(assets: Assets) -> None:
    assert len(gzip.compress(assets.html, 9)) + packed_bytes(assets, r"/page\..*css") <= 14_000
    assert packed_bytes(assets, r"/app\.") <= 26_000
    assert packed_bytes(assets, r"/(preact|htm|uPlot)\.") <= 28_000
    assert packed_bytes(assets, r"woff2$") <= 49_000
    assert len(assets.files) + 1 <= 10


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_pure_modules() -> None:
    ran = subprocess.run(["node", "--test", str(MODULES)], check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert re.search(r"^# pass [1-9]", ran.stdout, re.MULTILINE) or "pass " in ran.stdout
