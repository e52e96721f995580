"""Certificates and a Redis with users, for the tests of encryption and passwords."""

import logging
import os
import shutil
from collections.abc import Iterator

import pytest

from engine.adapters.redis import Tls
from engine.embedded.redis import EmbeddedRedis
from tests.integration.certificates import Authority
from tests.integration.secured import guarded_redis, shown_in_logs


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None and not os.environ.get("CI"):
        pytest.skip("the command openssl is not installed")
    return Authority(tmp_path_factory.mktemp("trust") / "ours", "ours")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trust") / "theirs", "theirs")


@pytest.fixture(scope="module")
def guarded() -> Iterator[EmbeddedRedis]:
    with guarded_redis() as server:
        yield server


@pytest.fixture(scope="module")
def certified(authority: Authority) -> Tls:
    certificate, key = authority.issue("worker")
    return Tls(ca_file=authority.ca_file, certificate_file=certificate, key_file=key)


@pytest.fixture
def nothing_is_shown(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Everything that any library logs, down to the last detail, is free of what must not be seen.

    It guards the filter in `kafka_login.py`: without it aiokafka logs passwords and tokens at DEBUG.
    """
    caplog.set_level(logging.DEBUG)
    yield
    assert not shown_in_logs(caplog.get_records("call"))
