"""TLS and users of Redis, alone and in a cluster: right credentials work, wrong ones are named, none is shown."""

import asyncio
from typing import Any

import pytest

from engine import Secret, StateReader, Unanswered
from engine.adapters.redis import RedisServer, Tls
from engine.embedded.process import free_port
from engine.embedded.redis import EmbeddedRedis
from engine.embedded.resp import ask
from tests.integration.certificates import HOST, Authority, tls_relay
from tests.integration.secured import ACL, PASSWORD, USER, WRONG, shown

pytestmark = pytest.mark.usefixtures("nothing_is_shown")


async def use(server: RedisServer) -> None:
    """Everything that is ever asked of it."""
    await server.check_server("aof")
    reader = StateReader(server, group="g", buckets=4)
    assert await reader.cells(b"k", 0, 900) == {}
    assert [each.position for each in await reader.progress(2)] == [0] * 8
    await server.make_durable("aof")
    await server.post("board", "name", b"notice")
    assert await server.posted("board") == {"name": b"notice"}
    await server.post("board", "name", None)


async def test_redis_with_tls_and_a_user(authority: Authority, guarded: EmbeddedRedis, certified: Tls) -> None:
    async with (
        tls_relay(authority, guarded.port) as port,
        RedisServer(f"rediss://{HOST}:{port}", username=USER, password=Secret(PASSWORD), tls=certified) as server,
    ):
        await use(server)


async def test_redis_with_a_password_in_its_url(guarded: EmbeddedRedis) -> None:
    quoted = PASSWORD.replace(":", "%3A")
    async with RedisServer(f"redis://{USER}:{quoted}@{HOST}:{guarded.port}") as server:
        await use(server)


async def test_a_cluster_with_tls_and_a_user(authority: Authority, certified: Tls) -> None:
    """A cluster of one node: the addresses that it hands out are the relay's."""
    outer = free_port()
    settings = {"cluster-enabled": "yes", "cluster-announce-ip": HOST, "cluster-announce-port": outer,
                "cluster-port": free_port()}  # fmt: skip
    with EmbeddedRedis(settings=settings) as node:
        ask(node.port, "CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        ask(node.port, "ACL", "SETUSER", USER, *ACL)
        url = f"rediss+cluster://{USER}:{PASSWORD.replace(':', '%3A')}@{HOST}:{outer}"
        async with tls_relay(authority, node.port, port=outer), RedisServer(url, tls=certified) as server:
            while b"cluster_state:ok" not in ask(node.port, "CLUSTER", "INFO"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await use(server)


async def test_wrong_redis_credentials_are_said(
    authority: Authority, strangers: Authority, guarded: EmbeddedRedis, certified: Tls
) -> None:
    async with tls_relay(authority, guarded.port) as port:
        url = f"rediss://{HOST}:{port}"
        wrong_user: dict[str, Any] = {"username": USER, "password": Secret(WRONG), "tls": certified}
        for options, expected in (
            (wrong_user, "invalid username-password pair"),
            ({"tls": certified}, "Authentication required"),
            ({"tls": Tls(ca_file=strangers.ca_file)}, "certificate verify failed"),
            ({"tls": Tls(ca_file=authority.ca_file)}, f"{HOST}:{port}"),
        ):
            async with RedisServer(url, timeout_s=2.0, **options) as server:
                with pytest.raises(Unanswered, match=expected) as caught:
                    await server.check_server()
                assert not shown(repr(caught.value) + repr(caught.value.__cause__) + repr(vars(server)))


async def test_a_user_without_the_rights_is_in_doubt(guarded: EmbeddedRedis) -> None:
    """NOPERM: somebody may give it the right; nothing is damaged."""
    url = f"redis://{USER}:{PASSWORD.replace(':', '%3A')}@{HOST}:{guarded.port}"
    async with RedisServer(url) as server:
        with pytest.raises(Unanswered, match="NOPERM"):
            await server.call("read", b"\0\1\0\1x\0\0\0\0", key=b"elsewhere", writes=False)
