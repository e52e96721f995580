"""The state server over redis-py: one Redis (or Valkey), or a cluster of them."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import anyio
from redis.asyncio.connection import parse_url

from engine.adapters.redis_cluster import Nodes, Place, RedisCluster, SingleNode
from engine.adapters.redis_node import Access, RedisNode
from engine.adapters.tls import Tls
from engine.errors import ConfigError, Unanswered
from engine.ports import Answer, Call
from engine.secret import Secret, masked

__all__ = ["RedisServer", "Tls", "places_of"]

READERS: Final = 16
PORT: Final = 6379
SCHEMES: Final = ("redis://", "rediss://", "redis+cluster://", "rediss+cluster://", "unix://")
CLUSTER: Final = "+cluster"


class RedisServer:
    """A `StateServer`.

    `writers`: connections (to each node) for calls that write, at least as many as are in flight at once. A cluster's
    URL may name several nodes: redis+cluster://host:port,host:port. User and password may stand in the URL, or be
    given. `tls`: for a URL that begins with rediss.

    Raises ConfigError for a URL that cannot work, and for files of `tls` that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str = "",
        password: Secret | None = None,
        tls: Tls | None = None,
        writers: int = 2,
        readers: int = READERS,
        timeout_s: float = 5.0,
    ) -> None:
        options, seeds = _parse(url)
        if username:
            options["username"] = username
        if password:
            options["password"] = password.reveal()
        encrypted = url.startswith("rediss")
        if tls is not None and not encrypted:
            raise ConfigError([f"{masked(url)}: for TLS it must begin with rediss:// or rediss+cluster://"])
        context = (tls or Tls()).context() if encrypted else None
        access = Access(options=options, context=context, writers=writers, readers=readers, timeout_s=timeout_s)
        self._nodes: Nodes = RedisCluster(seeds, access) if seeds else SingleNode(access)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._nodes.close()

    @property
    def clustered(self) -> bool:
        """See `StateServer.clustered`."""
        return self._nodes.clustered

    async def check_server(self, durability: str = "memory") -> None:
        """Loads the function library, and checks that the server (each primary) may be trusted with state.

        Raises:
            ConfigError: a setting of the server must be changed; the message names it.
            Unanswered: it is away or still loading; try again.
        """
        problems: list[str] = []
        for node in await self._nodes.primaries():
            found = await node.check(durability, clustered=self.clustered)
            problems += (f"{node.address}: {problem}" for problem in found)
        if problems:
            raise ConfigError(problems)

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        """See `StateServer.call`."""
        found: dict[int, Answer] = {}
        await self.call_many(function, [Call(key, payload)], writes=writes, answered=found.__setitem__)
        return _reply(found[0])

    async def call_many(
        self, function: str, calls: Sequence[Call], *, writes: bool, answered: Callable[[int, Answer], None]
    ) -> None:
        """See `StateServer.call_many`."""
        version = self._nodes.version
        by_node: dict[RedisNode, list[int]] = {}
        unknown = False
        for place, call in enumerate(calls):
            try:
                by_node.setdefault(await self._nodes.node_of(call.key, writes=writes), []).append(place)
            except Unanswered as error:
                unknown = True
                answered(place, error)

        async def call_at(node: RedisNode, places: list[int]) -> None:
            answers = await node.call(function, [calls[place] for place in places], writes=writes)
            for place, answer in zip(places, answers, strict=True):
                answered(place, answer)
            if any(isinstance(answer, Unanswered) for answer in answers):
                await self._nodes.in_doubt(version)

        if len(by_node) == 1:
            ((node, places),) = by_node.items()
            await call_at(node, places)
        else:
            async with anyio.create_task_group() as tasks:
                for node, places in by_node.items():
                    tasks.start_soon(call_at, node, places)
        if unknown:
            await self._nodes.in_doubt(version)

    async def make_durable(self, level: str) -> None:
        """See `StateServer.make_durable`: at every node that holds what was written from here."""
        if level == "memory":
            return
        version = self._nodes.version
        nodes = await self._nodes.written()
        doubts: list[Unanswered] = []

        async def wait_at(node: RedisNode, key: bytes) -> None:
            try:
                await node.make_durable(level, key)
            except Unanswered as error:
                doubts.append(error)

        async with anyio.create_task_group() as tasks:
            for node, key in nodes:
                tasks.start_soon(wait_at, node, key)
        if doubts:
            await self._nodes.in_doubt(version)
            raise doubts[0]

    async def post(self, board: str, name: str, notice: bytes | None, *, lasts_s: int = 60) -> None:
        """See `StateServer.post`."""
        key = _board_key(board)
        if notice is None:
            await self._ask(key, "HDEL", key, name)
            return
        await self._ask(key, "HSET", key, name, notice)
        await self._ask(key, "EXPIRE", key, lasts_s)

    async def posted(self, board: str) -> Mapping[str, bytes]:
        """See `StateServer.posted`."""
        key = _board_key(board)
        notices = await self._ask(key, "HGETALL", key)
        return {name.decode(): notice for name, notice in notices.items()}

    async def _ask(self, key: str, *command: Any) -> Any:
        """One command about a key, sent once. Raises Unanswered, StateDamaged."""
        version = self._nodes.version
        node = await self._nodes.node_of(key.encode(), writes=False)
        try:
            return await node.ask(*command)
        except Unanswered:
            await self._nodes.in_doubt(version)
            raise


def _reply(answer: Answer) -> list[bytes]:
    if isinstance(answer, Exception):
        raise answer
    return answer


def places_of(url: str) -> list[Place]:
    """The hosts and ports that a URL names; none for that of a socket in the file system. Raises ConfigError."""
    options, seeds = _parse(url)
    if seeds or "path" in options:
        return seeds
    return [(options.get("host", "localhost"), options.get("port", PORT))]


def _parse(url: str) -> tuple[dict[str, Any], list[Place]]:
    """redis-py's options, and for a cluster the nodes to ask first. Raises ConfigError, which never shows a password.

    What a parser says of a URL may be a piece of the password, where that holds a / or a #: it is not repeated.
    """
    scheme = next((scheme for scheme in SCHEMES if url.startswith(scheme)), None)
    if scheme is None:
        raise ConfigError([f"{masked(url)}: must begin with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}"])
    problem = f"{masked(url)}: is no URL; in user and password, write special characters as %XX"
    try:
        if CLUSTER not in scheme:
            options: dict[str, Any] = dict(parse_url(url))
            if any(name.startswith("ssl_") for name in options):
                raise ConfigError([f"{masked(url)}: TLS is set by files beside the URL, not by ssl_ options in it"])
            return options, []
        where, _, rest = url.removeprefix(scheme).partition("/")
        if rest not in ("", "0"):
            raise ConfigError([f"{masked(url)}: a cluster has no database but 0, and no options in its URL"])
        credentials, _, hosts = where.rpartition("@")
        username, _, password = map(unquote, credentials.partition(":"))
        seeds = [_place(host) for host in hosts.split(",")]
    except ValueError:
        raise ConfigError([problem]) from None
    return {name: value for name, value in (("username", username), ("password", password)) if value}, seeds


def _place(host: str) -> Place:
    """Raises ValueError."""
    parsed = urlsplit(f"//{host}")
    if not parsed.hostname:
        raise ValueError("no host")
    return parsed.hostname, parsed.port or PORT


def _board_key(board: str) -> str:
    return f"keylane:board:{board}"
