"""The peers in Java: libraries by Maven into the cache, our sources compiled beside them, the newest JDK there is."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from perf.peers.environment import HERE, Missing, made_once

SOURCES = HERE / "java"
SHARED = "shared"
OLDEST = 17
KEPT_BY_DEBIAN = Path("/usr/lib/jvm")


class Jdk(NamedTuple):
    """A Java with its compiler."""

    version: int
    folder: Path


@cache
def jdk() -> Jdk:
    """The newest on JAVA_HOME, on PATH or where Debian keeps them. Raises Missing."""
    found = [Jdk(version, folder) for folder in _folders() if (version := _version(folder)) >= OLDEST]
    if not found:
        raise Missing(f"a JDK {OLDEST} or later was not found")
    return max(found)


def described() -> str:
    """Which one it is, or that there is none."""
    try:
        return str(jdk().version)
    except Missing as missing:
        return str(missing)


def command(project: str, main: str, *, heap_mb: int, settings: Sequence[str] = ()) -> list[str]:
    """Starts the class `main` of `java/<project>`; `settings` are arguments of it. Raises Missing."""
    built = _built(project)
    options = [f"-Xmx{heap_mb}m", "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return [str(jdk().folder / "java"), *options, "-cp", f"{built}/classes:{built}/jars/*", f"peers.{main}", *settings]


def _built(project: str) -> Path:
    """The folder with `jars` and `classes`, made when libraries or sources are others than before."""
    sources = sorted(path for name in (SHARED, project) for path in (SOURCES / name).glob("*"))
    mark = hashlib.sha256(str(jdk()).encode())
    for path in sources:
        mark.update(path.read_bytes())

    def make(place: Path) -> None:
        _fetch(SOURCES / project / "pom.xml", place / "jars")
        _compile([path for path in sources if path.suffix == ".java"], place)

    return made_once(f"peers-{project}-{mark.hexdigest()[:12]}", make)


def _fetch(pom: Path, jars: Path) -> None:
    if shutil.which("mvn") is None:
        raise Missing("mvn is not installed")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    _run(["mvn", "-q", "-B", "-f", str(pom), *goal])


def _compile(sources: Sequence[Path], place: Path) -> None:
    compiler = str(jdk().folder / "javac")
    _run([compiler, "-nowarn", "-d", str(place / "classes"), "-cp", f"{place}/jars/*", *map(str, sources)])


def _run(words: Sequence[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{Path(words[0]).name} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def _folders() -> Iterator[Path]:
    """Of programs, with a compiler among them."""
    on_path = shutil.which("java")
    places = [Path(on_path).resolve().parent] if on_path else []
    if home := os.environ.get("JAVA_HOME"):
        places.append(Path(home) / "bin")
    yield from (place for place in [*places, *KEPT_BY_DEBIAN.glob("*/bin")] if (place / "javac").exists())


def _version(folder: Path) -> int:
    said = subprocess.run([str(folder / "java"), "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0
