"""The servers for demo and tests: they start, die and come back as told, and never outlive who started them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.embedded import apache, process
from engine.embedded.apache import ApacheKafka
from engine.embedded.broker import EmbeddedBroker
from engine.embedded.process import Daemon, ServerFailed, Supervisor, answers
from engine.embedded.redis import EmbeddedRedis

ROOT = Path(__file__).parents[2]
GONE_S = 20.0

STARTER = """
import sys, time
from engine.embedded.{module} import {kind}
server = {kind}()
server.start()
print(server.{pid}, server._supervisor._process.pid, server._supervisor.folder, flush=True)
time.sleep(600)
"""


def ask(server: EmbeddedRedis, *words: str) -> bytes:
    """The raw reply to one command."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        return connection.recv(65536)


def until(what: Callable[[], bool], within_s: float = GONE_S) -> bool:
    deadline = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def runs(pid: int) -> bool:
    """Whether the process runs (a zombie, which waits to be reaped by init, does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor("test")
    yield supervisor
    supervisor.close()


def test_redis_is_a_real_one_with_functions_and_append_only_files() -> None:
    with EmbeddedRedis() as server:
        assert ask(server, "CONFIG", "GET", "appendonly") == b"*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n"
        assert b"noeviction" in ask(server, "CONFIG", "GET", "maxmemory-policy")
        library = "#!lua name=t\nserver.register_function('one', function() return 1 end)"
        assert ask(server, "FUNCTION", "LOAD", library) == b"$1\r\nt\r\n"
        assert ask(server, "FCALL", "one", "0") == b":1\r\n"
        folder = server.folder
        assert folder.exists()
    assert not folder.exists()


def test_a_killed_redis_comes_back_with_what_was_on_disk() -> None:
    with EmbeddedRedis() as server:
        ask(server, "SET", "kept", "yes")
        assert ask(server, "WAITAOF", "1", "0", "5000") == b"*2\r\n:1\r\n:0\r\n"
        first, port = server.pid, server.port
        server.kill()
        assert not runs(first)
        server.restart()
        assert (server.port, ask(server, "GET", "kept")) == (port, b"$3\r\nyes\r\n")
        assert server.pid != first


def test_older_append_only_files_take_acknowledged_writes_back(tmp_path: Path) -> None:
    with EmbeddedRedis() as server:
        ask(server, "SET", "count", "1")
        ask(server, "WAITAOF", "1", "0", "5000")
        server.save_append_only(tmp_path / "older")
        ask(server, "SET", "count", "2")
        ask(server, "WAITAOF", "1", "0", "5000")
        server.kill()
        server.restore_append_only(tmp_path / "older")
        server.restart()
        assert ask(server, "GET", "count") == b"$1\r\n1\r\n"


def test_a_given_folder_is_kept(tmp_path: Path) -> None:
    with EmbeddedRedis(folder=tmp_path) as server:
        ask(server, "SET", "kept", "yes")
    with EmbeddedRedis(folder=tmp_path) as server:
        assert ask(server, "GET", "kept") == b"$3\r\nyes\r\n"


async def test_servers_are_async_context_managers_too() -> None:
    async with EmbeddedRedis(append_only=False) as server, EmbeddedBroker() as broker:
        assert ask(server, "PING") == b"+PONG\r\n"
        assert answers(int(broker.bootstrap.split(":")[1]))
        pids = [server.pid, broker.pid]
    assert not any(runs(pid) for pid in pids)


def test_a_broker_can_be_killed_and_started_again_on_its_port() -> None:
    with EmbeddedBroker() as server:
        port = int(server.bootstrap.split(":")[1])
        server.kill()
        assert not answers(port)
        server.restart()
        assert answers(port)


def test_a_server_outlives_the_thread_that_started_it() -> None:
    server = EmbeddedRedis()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.2)
        assert ask(server, "PING") == b"+PONG\r\n"
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("module", "kind", "pid"),
    [
        ("redis", "EmbeddedRedis", "pid"),
        ("broker", "EmbeddedBroker", "pid"),
        pytest.param("apache", "ApacheKafka", "pids[0]", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("killed", ["parent", "supervisor"])
def test_servers_end_with_their_parent(module: str, kind: str, pid: str, killed: str) -> None:
    """By SIGKILL, so nobody can clean up: the supervisor notices its parent, the server its supervisor."""
    if module == "apache" and (missing := apache.available()) and not os.environ.get("CI"):
        pytest.skip(missing)
    code = STARTER.format(module=module, kind=kind, pid=pid)
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        server, supervisor, folder = parent.stdout.readline().split()
        assert runs(int(server))
        os.kill(parent.pid if killed == "parent" else int(supervisor), signal.SIGKILL)
        assert until(lambda: not runs(int(server)))
        parent.kill()
    assert until(lambda: not runs(int(supervisor)))
    if killed == "parent":
        assert until(lambda: not Path(folder).exists())
    else:
        shutil.rmtree(folder)


def test_a_port_that_somebody_took_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = int(taken.getsockname()[1])
        ports = iter([busy, busy, process.free_port()])
        monkeypatch.setattr(process, "free_port", lambda: next(ports))
        with EmbeddedRedis() as server:
            assert server.port != busy
            assert ask(server, "PING") == b"+PONG\r\n"


def test_no_port_is_handed_out_twice() -> None:
    """Somebody who asks for several gets different ones, though nobody listens on them yet."""
    ports = [process.free_port() for _ in range(1_000)]
    assert len(set(ports)) == len(ports)


def test_a_port_that_was_given_is_used_or_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(ServerFailed, match=r"(?s)Could not create server|in use"), EmbeddedRedis(port=port):
            pass
    with EmbeddedRedis(port=port) as server:
        assert server.port == port


def test_a_server_that_ends_at_once_says_what_it_said(supervisor: Supervisor) -> None:
    daemon = Daemon(
        supervisor,
        "broken",
        command=lambda port: ["sh", "-c", "echo no such setting; exit 3"],
        is_ready=lambda port, pid: False,
    )
    with pytest.raises(ServerFailed, match=r"(?s)broken on port \d+ ended with 3.*no such setting"):
        daemon.start()


def test_a_server_that_never_answers_is_killed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_DEADLINE_S", 0.2)
    daemon = Daemon(supervisor, "mute", command=lambda port: ["sleep", "60"], is_ready=lambda port, pid: False, port=1)
    with pytest.raises(ServerFailed, match="mute on port 1 did not answer"):
        daemon.start()
    assert not runs(daemon.pid)


def test_a_command_that_does_not_exist(supervisor: Supervisor) -> None:
    daemon = Daemon(supervisor, "absent", command=lambda port: ["/nowhere/absent"], is_ready=lambda port, pid: True)
    with pytest.raises(ServerFailed, match="absent"):
        daemon.start()


@pytest.mark.slow
def test_one_of_several_brokers_dies_and_comes_back(apache_kafka: ApacheKafka) -> None:
    """`apache_kafka` is only asked for so that the test is skipped, or fails, where Apache Kafka cannot run."""
    with ApacheKafka(brokers=2) as cluster:
        first, second = cluster.pids
        cluster.kill(2)
        assert (runs(first), runs(second)) == (True, False)
        cluster.restart(2)
        assert all(runs(pid) for pid in cluster.pids)
        assert len(cluster.bootstrap.split(",")) == 2
