"""The engine's function library: its text, its name, and the names of its functions.

The name carries a hash of the content, and so do the functions' names, which are global in Redis: several versions live
side by side while workers are upgraded one after another.
"""

from hashlib import blake2b
from importlib.resources import files
from typing import Final

_PARTS: Final = ("values", "identities", "owing", "pages", "totals", "updates", "slices", "reading")
FUNCTIONS: Final = frozenset({"apply", "check", "read", "fetch", "scan", "list"})
WRITING: Final = frozenset({"apply"})


def _assemble() -> tuple[str, str]:
    folder = files("engine.state") / "lua"
    body = "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in _PARTS)
    version = blake2b(body.encode(), digest_size=8).hexdigest()
    return version, f"#!lua name=keylane_{version}\n" + body.replace("_VERSION'", f"_{version}'")


VERSION, TEXT = _assemble()
"""The content's hash, and what `FUNCTION LOAD` takes."""


def function_name(function: str) -> str:
    """The name in Redis of a function's short name."""
    assert function in FUNCTIONS, f"{function} is not in the library"
    return f"{function}_{VERSION}"
