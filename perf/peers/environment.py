"""The Python environment of a peer: made once from a lock with hashes, in the cache, never in the project's own.

pyrallel-consumer needs Python 3.12, which the project does not.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LOCK = HERE / "pyrallel.lock"
OLDEST = (3, 12)
NAMES = ("python3.14", "python3.13", "python3.12", "python3")


class Missing(Exception):
    """A peer cannot run here, and why."""


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "keylane"


def pyrallel_python() -> Path:
    """The interpreter of pyrallel's environment, made the first time. Raises Missing."""
    mark = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    return made_once(f"pyrallel-{mark}", _make) / "bin" / "python"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder in the cache, made by the first who needs it; it is there as a whole or not at all."""
    place = cache() / name
    if not place.exists():
        partial = place.with_name(f"{name}.{os.getpid()}")
        try:
            make(partial)
            partial.rename(place)
        except OSError:
            if not place.exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return place


def _make(place: Path) -> None:
    python = next(_new_enough(), None)
    if python is None:
        raise Missing(f"pyrallel-consumer needs Python {OLDEST[0]}.{OLDEST[1]} or later, and none was found")
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
    for command in ([python, "-m", "venv", str(place)], [*pip, *locked]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"{' '.join(command[:3])} failed: {(done.stdout + done.stderr)[-500:]}")


def _new_enough() -> Iterator[str]:
    """Interpreters that start and are new enough; also those that pyenv keeps and does not show."""
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [sys.executable, *(path for name in NAMES if (path := shutil.which(name)))]
    question = f"import sys; sys.exit(sys.version_info < {OLDEST})"
    for path in [*found, *map(str, sorted(kept.glob("3.*/bin/python3"), reverse=True))]:
        if not subprocess.run([path, "-c", question], capture_output=True, check=False).returncode:
            yield path
