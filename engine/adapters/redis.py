"""The state server over redis-py: one Redis (or Valkey), no cluster.

redis-py's own retries are off: it would send a write again whose answer is late, ten times by default. Every unknown
outcome becomes `Unanswered`, and the protocol above sends the same bytes again.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from engine.errors import ConfigError, StateDamaged, Unanswered
from engine.state.library import TEXT, function_name

READERS: Final = 16
DURABLE_KEY: Final = b"keylane:durable"
NOT_NOW: Final = frozenset(
    {
        *{"LOADING", "READONLY", "OOM", "MISCONF", "BUSY", "UNKILLABLE", "MASTERDOWN", "NOREPLICAS"},
        *{"CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "NOAUTH", "NOPERM"},
    }
)
"""What an error begins with that says: not now, or not here. Nothing is known to be wrong with the call."""


class RedisServer:
    """A `StateServer`. `writers`: connections for calls that write, at least as many as are in flight at once.

    Raises ConfigError for a URL that cannot work.
    """

    def __init__(self, url: str, *, writers: int = 2, readers: int = READERS, timeout_s: float = 5.0) -> None:
        if url.startswith("redis+cluster://"):
            raise ConfigError([f"{url}: a cluster is not supported yet; give the URL of a single Redis"])
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigError([f"{url}: must begin with redis:// or rediss://"])
        self._timeout_s = timeout_s
        self._writing = self._client(url, writers, timeout_s)
        self._reading = self._client(url, readers, timeout_s)
        self._lasting = self._client(url, 1, timeout_s)

    @staticmethod
    def _client(url: str, connections: int, timeout_s: float) -> Redis:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            protocol=2,
        )
        return Redis.from_pool(pool)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        for client in (self._writing, self._reading, self._lasting):
            await client.aclose()

    async def check_server(self, durability: str = "memory") -> None:
        """Loads the function library, and checks that the server may be trusted with state.

        Raises:
            ConfigError: a setting of the server must be changed; the message names it.
            Unanswered: it is away or still loading; try again.
        """
        memory = await self._ask(self._reading, "INFO", "memory")
        persistence = await self._ask(self._reading, "INFO", "persistence")
        problems = []
        policy = memory.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            problems.append(f"maxmemory-policy is {policy}: must be noeviction, or Redis would drop aggregates")
        if durability == "aof" and not int(persistence.get("aof_enabled", 0)):
            problems.append("appendonly is no: must be yes where ENGINE_DURABILITY is aof")
        if problems:
            raise ConfigError(problems)
        await self._load(self._writing)

    async def call(self, function: str, payload: bytes, *, key: bytes, writes: bool) -> list[bytes]:
        """See `StateServer.call`."""
        client = self._writing if writes else self._reading
        name = function_name(function)
        try:
            return await self._fcall(client, name, key, payload)
        except _FunctionMissing:
            await self._load(client)
        try:
            return await self._fcall(client, name, key, payload)
        except _FunctionMissing as error:
            raise Unanswered(f"the function library went away again: {error}") from error

    async def _fcall(self, client: Redis, name: str, key: bytes, payload: bytes) -> list[bytes]:
        reply: list[bytes] = await self._ask(client, "FCALL", name, 1, key, payload)
        return reply

    async def _load(self, client: Redis) -> None:
        try:
            await self._ask(client, "FUNCTION LOAD", TEXT)
        except StateDamaged as error:
            if "already exists" in str(error):  # another worker was faster
                return
            if "unknown command" in str(error).lower():
                raise ConfigError(["the server has no functions: Redis 7.2 or later, or Valkey, is needed"]) from error
            raise

    async def make_durable(self, level: str) -> None:
        """See `StateServer.make_durable`.

        A connection waits for its own writes only. So a small write follows all others, in the order of the server,
        and what is waited for is that one.
        """
        if level == "memory":
            return
        wait_ms = int(self._timeout_s * 800)
        try:
            async with self._lasting.pipeline(transaction=False) as pipeline:
                pipeline.incr(DURABLE_KEY)
                if level == "aof":
                    pipeline.waitaof(1, 0, wait_ms)
                else:
                    pipeline.wait(1, wait_ms)
                _, answer = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unanswered(f"waiting for durability {level}: {error}") from error
        if not (answer[0] if isinstance(answer, list) else answer):
            raise Unanswered(f"durability {level} was not reached within {wait_ms} ms")

    async def post(self, board: str, name: str, notice: bytes | None, *, lasts_s: int = 60) -> None:
        """See `StateServer.post`."""
        key = _board_key(board)
        if notice is None:
            await self._ask(self._reading, "HDEL", key, name)
            return
        await self._ask(self._reading, "HSET", key, name, notice)
        await self._ask(self._reading, "EXPIRE", key, lasts_s)

    async def posted(self, board: str) -> Mapping[str, bytes]:
        """See `StateServer.posted`."""
        notices = await self._ask(self._reading, "HGETALL", _board_key(board))
        return {name.decode(): notice for name, notice in notices.items()}

    async def _ask(self, client: Redis, *command: Any) -> Any:
        """One command, sent once."""
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
        except NoPermissionError as error:
            raise Unanswered(f"the server refuses {command[0]}: {error}") from error
        except ResponseError as error:
            raise _translated(error) from error
        except (RedisError, OSError, TimeoutError) as error:
            raise Unanswered(f"{command[0]} was not answered: {type(error).__name__}: {error}") from error


class _FunctionMissing(Exception):
    """The server does not have this version of the library."""


def _translated(error: ResponseError) -> Exception:
    """redis-py cuts the code off an error that it knows, and keeps it in `status_code`."""
    text = str(error)
    code = getattr(error, "status_code", None) or text.split(" ", 1)[0]
    if code in NOT_NOW:
        return Unanswered(f"the server says: {code} {text.removeprefix(code).strip()}")
    if "Function not found" in text:
        return _FunctionMissing(text)
    return StateDamaged(f"the server says: {text}")


def _board_key(board: str) -> str:
    return f"keylane:board:{board}"
