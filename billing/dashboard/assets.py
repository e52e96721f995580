"""The page's files in memory, named by their content, all computed at start: there is no build step.

Our own ES modules are joined into one in the order of their imports, so that the page needs few requests; their
top-level names are therefore unique. Vendored files are served byte for byte. A name carries the hash of the content
with all that it refers to, so every name may be cached for ever.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

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
_IMPORT = re.compile(r'^import (\w+|\{[^}]*\}) from "\./([\w./-]+)";\n', re.MULTILINE)
_NAMES = re.compile(r"import \{([^}]*)\} from (.*)")
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class)\b)", re.MULTILINE)
_DECLARATION = re.compile(r"^(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
_SPARE = re.compile(r"^ *(?://[^\n]*|/\*\*.*?\*/)\n|^ +|^\n|(?<=;) // [^\n]*", re.MULTILINE | re.DOTALL)
_REFERENCE = re.compile(rf'(?<=["(]){PREFIX}([\w./-]+)|(?<="){PREFIX}([\w./-]+)(?=")')


class Asset(NamedTuple):
    """One answer: its content, its media type, and whether it may be cached for ever."""

    content: bytes
    content_type: str
    cacheable: bool


@dataclass(frozen=True, slots=True)
class Assets:
    """Everything that the page is made of. `html` is the document for all of its addresses, not to be cached."""

    html: bytes = field(repr=False)
    files: Mapping[str, Asset] = field(repr=False)

    def get(self, path: str) -> Asset | None:
        """The file at an address path such as `/assets/page.1f0c….css`; None if there is none."""
        return self.files.get(path)

    def html_with(self, answers: Mapping[str, bytes]) -> bytes:
        """The document that carries first answers, JSON texts by request path, as data that is not executed."""
        data = b",".join(b"%s:%s" % (json.dumps(path).encode(), text) for path, text in answers.items())
        safe = data.replace(b"<", b"\\u003c")
        return self.html.replace(_SNAPSHOT, b'<script type="application/json" id="snapshot">{%s}</script>' % safe)


def load_assets(folder: Path = STATIC) -> Assets:
    """Reads and names all files.

    Raises:
        OSError: a file cannot be read.
        ValueError: modules import each other in a circle or declare the same name, or a file they name is not there.
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
    """One module of all of ours, in the order of their imports, with comments and indentation left out."""
    heads: dict[str, None] = {}
    bodies: dict[str, str] = {}
    entered: list[str] = []

    def add(name: str) -> None:
        if name in bodies:
            return
        if name in entered:
            raise ValueError(f"modules import each other in a circle: {' -> '.join([*entered, name])}")
        entered.append(name)
        text = (folder / name).read_text()
        for names, imported in _IMPORT.findall(text):
            if imported.startswith("vendor/"):
                heads[f'import {names} from "{named[imported]}";'] = None
            else:
                add(imported)
        bodies[name] = _EXPORT.sub("", _IMPORT.sub("", text))
        entered.pop()

    add(_ENTRY)
    found = Counter(name for body in bodies.values() for name in _DECLARATION.findall(body))
    if doubled := sorted(name for name, count in found.items() if count > 1):
        raise ValueError(f"modules that are joined declare the same names: {', '.join(doubled)}")
    return "\n".join([*_united(heads), *(_SPARE.sub("", body) for body in bodies.values())])


def _united(imports: Iterable[str]) -> list[str]:
    """The same imports with one line a file: a name may be imported once."""
    defaults: list[str] = []
    names: dict[str, set[str]] = {}
    for line in imports:
        if match := _NAMES.match(line):
            names.setdefault(match[2], set()).update(name.strip() for name in match[1].split(","))
        else:
            defaults.append(line)
    return defaults + [f"import {{ {', '.join(sorted(each))} }} from {source}" for source, each in names.items()]
