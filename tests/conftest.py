"""Servers for the tests that need them: real ones, on free loopback ports, once a session, ended with it.

`kafka` runs a test on every broker there is: the embedded one everywhere, Apache Kafka where Java and Maven are (in CI
they must be). The fixtures are plain ones, since the servers are processes: any test may use them, async or not.
"""

import itertools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from engine.embedded import apache
from engine.embedded.apache import ApacheKafka
from engine.embedded.broker import EmbeddedBroker
from engine.embedded.redis import EmbeddedRedis

TOGETHER = frozenset({"browser", "chaos"})
"""Folders whose tests share servers that take long to start."""
_numbers = itertools.count(1)


class Together(LoadScopeScheduling):  # type: ignore[misc]  # it comes without types
    """Side by side (`-n 2`) the tests of a file stay together, and those of some folders.

    The marks of `--dist loadgroup` have no effect with pytest 9.2, which keeps the ids of tests in another form.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = PurePosixPath(file).parent.name
        return folder if folder in TOGETHER else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """A Redis that all tests of the session share; one that kills it or restores it starts its own instead."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The shared Redis, empty at the start of the test."""
    with socket.create_connection(("127.0.0.1", redis_server.port), timeout=10) as connection:
        for command in (b"FLUSHALL SYNC\r\n", b"FUNCTION FLUSH SYNC\r\n"):
            connection.sendall(command)
            assert connection.recv(64) == b"+OK\r\n"
    return redis_server.url


@pytest.fixture(scope="session")
def kafka_embedded() -> Iterator[str]:
    """host:port of the embedded broker."""
    with EmbeddedBroker() as server:
        yield server.bootstrap


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[ApacheKafka]:
    """An Apache Kafka that all tests of the session share, with replies as a single broker gives them."""
    missing = apache.available()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"Apache Kafka cannot be started: {missing}")
    with ApacheKafka() as server:
        yield server


@pytest.fixture(scope="session")
def kafka_apache(apache_kafka: ApacheKafka) -> str:
    """host:port of Apache Kafka."""
    return apache_kafka.bootstrap


@pytest.fixture(params=["embedded", "apache"])
def kafka(request: pytest.FixtureRequest) -> str:
    """host:port of a broker: the test runs on each kind."""
    bootstrap: str = request.getfixturevalue(f"kafka_{request.param}")
    return bootstrap


@pytest.fixture
def new_name() -> Callable[[str], str]:
    """Makes names of topics, groups and instances that no other test of the session has."""
    return lambda stem: f"{stem}-{os.getpid()}-{next(_numbers)}"
