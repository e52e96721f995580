"""The page's files in memory, named by their content, all computed at start: there is no build step.

Our own ES modules are joined into one script in the order of their imports, each in a scope of its own, so that the
page needs few requests; vendored files are served byte for byte. A name carries the hash of the content, and a file
is named after everything it refers to, so every name may be cached for ever.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

STATIC = Path(__file__).parent / "static"
PREFIX = "/assets/"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_ENTRY = "app.js"
_STYLES = ("vendor/uPlot.min.css", "page.css")
_SNAPSHOT = b"<!--snapshot-->"
_IMPORT = re.compile(r'^import (?:(\w+)|\{([^}]*)\}) from "\./([\w./-]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
_COMMENT = re.compile(r"^ *(?://[^\n]*|/\*\*.*?\*/)\n|^ +", re.MULTILINE | re.DOTALL)
_REFERENCE = re.compile(rf'(?<=["(]){PREFIX}([\w./-]+)|(?<="){PREFIX}([\w./-]+)(?=")')


class Asset(NamedTuple):
    """One answer: its content, its media type, and whether it may be cached for ever."""

    content: bytes
    content_type: str
    cacheable: bool


@dataclass(frozen=True, slots=True)
class Assets:
    """Everything that the page is made of. `html` is the document for all of its addresses, not to be cached."""

    html: bytes
    files: Mapping[str, Asset]

    def get(self, path: str) -> Asset | None:
        """The file at an address path such as `/assets/page.1f0c….css`; None if there is none."""
        return self.files.get(path)

    def html_with(self, answers: Mapping[str, Any]) -> bytes:
        """The document that carries first answers, by request path, as data that is not executed."""
        data = json.dumps(answers, separators=(",", ":")).replace("<", "\\u003c").encode()
        return self.html.replace(_SNAPSHOT, b'<script type="application/json" id="snapshot">%s</script>' % data)


def load_assets(folder: Path = STATIC) -> Assets:
    """Reads and names all files.

    Raises:
        OSError: a file cannot be read.
        ValueError: modules import each other in a circle, or something refers to a file that is not there.
    """
    named: dict[str, str] = {}
    files: dict[str, Asset] = {}

    def publish(name: str, content: bytes) -> None:
        path = PurePosixPath(name)
        address = f"{PREFIX}{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"
        named[name] = address
        files[address] = Asset(content, MEDIA_TYPES[path.suffix], cacheable=True)

    for path in sorted(folder.glob("vendor/*")):
        if path.suffix in MEDIA_TYPES and path.suffix != ".css":
            publish(path.relative_to(folder).as_posix(), path.read_bytes())
    publish("icon.svg", (folder / "icon.svg").read_bytes())
    styles = "\n".join((folder / name).read_text() for name in _STYLES)
    publish("page.css", _refer(styles, named).encode())
    publish(_ENTRY, _join(folder, named).encode())
    document = _refer((folder / "index.html").read_text(), named)
    return Assets(document.encode(), files)


def _refer(text: str, named: Mapping[str, str]) -> str:
    """`text` with every `/assets/<file>` replaced by the file's name of today."""

    def replace(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in named:
            raise ValueError(f"the page refers to {name}, which is not there")
        return named[name]

    return _REFERENCE.sub(replace, text)


def _join(folder: Path, named: Mapping[str, str]) -> str:
    """One module of all of ours: vendored imports first, then each module as a scope that returns its exports."""
    vendored: dict[str, str] = {}
    scopes: dict[str, str] = {}
    entered: list[str] = []

    def scope_of(name: str) -> str:
        return vendored.get(name) or "$" + re.sub(r"\W", "_", name)

    def add(name: str) -> None:
        if name in scopes:
            return
        if name in entered:
            raise ValueError(f"modules import each other in a circle: {' -> '.join([*entered, name])}")
        entered.append(name)
        text = (folder / name).read_text()
        for _, _, imported in _IMPORT.findall(text):
            if imported.startswith("vendor/"):
                vendored.setdefault(imported, f"$vendored{len(vendored)}")
            else:
                add(imported)
        scopes[name] = _scope(text, scope_of)
        entered.pop()

    add(_ENTRY)
    head = [f'import * as {alias} from "{named[name]}";' for name, alias in vendored.items()]
    return "\n".join([*head, *(f"const {scope_of(name)} = {text}" for name, text in scopes.items())]) + "\n"


def _scope(text: str, scope_of: Callable[[str], str]) -> str:
    """A module's text as a function that is called at once and returns what the module exports."""

    def bind(match: re.Match[str]) -> str:
        default, names, imported = match.groups()
        if default:
            return f"const {default} = {scope_of(imported)}.default;\n"
        return f"const {{ {names.strip().replace(' as ', ': ')} }} = {scope_of(imported)};\n"

    exported = ", ".join(_EXPORT.findall(text))
    body = _COMMENT.sub("", _EXPORT.sub("", _IMPORT.sub(bind, text)))
    return f"(() => {{\n{body}return {{ {exported} }};\n}})();"
