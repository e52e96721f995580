"""Starts server processes for `process.Supervisor`, and ends them when it goes, even by SIGKILL.

Run by path, with the standard library alone, so that it is up in a few hundredths of a second:

    python -I -S supervise.py PARENT_PID FOLDER KEEP|REMOVE

It reads one JSON request a line from stdin and answers each with one line. It ends, with all its processes, when stdin
is closed or its parent has changed. The processes are told to die with it, and it forks them from its only thread:
Linux sends that signal when the forking *thread* ends.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
LOOK_S = 0.2
GRACE_S = 10.0


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """The processes started here, by process id. None is reaped before its exit code was asked for."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, command: list[str], log: str) -> int:
        with Path(log).open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                preexec_fn=end_with_parent,  # noqa: PLW1509  this process has one thread
            )
        self._running[process.pid] = process
        return process.pid

    def exit_code(self, pid: int) -> int | None:
        return self._running[pid].poll()

    def end_all(self, *, gently: bool) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM if gently else signal.SIGKILL)
        deadline = time.monotonic() + GRACE_S
        for process in self._running.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answer(processes: Processes, request: dict[str, object]) -> dict[str, object]:
    try:
        if request["do"] == "start":
            return {"pid": processes.start(request["command"], request["log"])}  # type: ignore[arg-type]
        return {"code": processes.exit_code(request["pid"])}  # type: ignore[arg-type]
    except OSError as error:
        return {"error": str(error)}


def serve(processes: Processes, parent: int) -> None:
    """Answers until stdin ends or the parent is another one."""
    pending = b""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], LOOK_S)
        if not readable:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            os.write(1, json.dumps(answer(processes, json.loads(line))).encode() + b"\n")


def main() -> None:
    parent, folder, fate = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    processes = Processes(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        serve(processes, parent)
    except BrokenPipeError:
        pass  # the parent went while it was answered: the same as the end of stdin
    finally:
        processes.end_all(gently=fate == "KEEP")
        if fate == "REMOVE":
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
