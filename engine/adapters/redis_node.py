"""One Redis (or Valkey) process over redis-py: calls, the function library, durability, errors in the engine's words.

redis-py's own retries are off: it would send a write again whose answer is late, ten times by default. Every unknown
outcome becomes `Unanswered`, and the protocol above sends the same bytes again.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from engine.errors import ConfigError, StateDamaged, Unanswered
from engine.ports import Answer, Call
from engine.state.library import TEXT, function_name

NOT_NOW: Final = frozenset(
    {
        *{"LOADING", "READONLY", "OOM", "MISCONF", "BUSY", "UNKILLABLE", "MASTERDOWN", "NOREPLICAS"},
        *{"CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "NOAUTH", "NOPERM"},
    }
)
"""What an error begins with that says: not now, or not here. Nothing is known to be wrong with the call."""
WAIT_SHARE: Final = 0.8
"""How much of the time-out a server may wait for durability itself."""


class _TlsConnection(SSLConnection):
    """With a context that is made once, instead of one a connection."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = context


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to connect. `options` are redis-py's: host, port, user and password among them, so they are never shown."""

    options: Mapping[str, Any]
    context: ssl.SSLContext | None
    writers: int
    readers: int
    timeout_s: float

    def at(self, host: str, port: int) -> "Access":
        """The same, at another address."""
        options = {**self.options, "host": host, "port": port}
        return Access(
            options=options,
            context=self.context,
            writers=self.writers,
            readers=self.readers,
            timeout_s=self.timeout_s,
        )

    def __repr__(self) -> str:
        return f"Access({self.address})"

    @property
    def address(self) -> str:
        """For people."""
        return str(self.options.get("path") or f"{self.options.get('host')}:{self.options.get('port', 6379)}")

    def client(self, connections: int) -> Redis:
        options: dict[str, Any] = {
            **self.options,
            "max_connections": connections,
            "timeout": self.timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": self.timeout_s,
            "socket_connect_timeout": self.timeout_s,
            "protocol": 2,
        }
        if self.context is not None:
            options |= {"connection_class": _TlsConnection, "context": self.context}
        return Redis.from_pool(BlockingConnectionPool(**options))


class FunctionMissing(Exception):
    """The server does not have this version of the library."""


class RedisNode:
    """The connections to one server: some for calls that write, some for everything else, one that waits."""

    def __init__(self, access: Access) -> None:
        self.address = access.address
        self._timeout_s = access.timeout_s
        self._closed = False
        self._writing = access.client(access.writers)
        self._reading = access.client(access.readers)
        self._lasting = access.client(1)

    async def close(self) -> None:
        """What is under way ends unanswered."""
        self._closed = True
        for client in (self._writing, self._reading, self._lasting):
            await client.aclose()

    async def call(self, function: str, calls: Sequence[Call], *, writes: bool) -> list[Answer]:
        """Runs the calls in one round trip; a missing library is loaded, and the same bytes are sent again."""
        if self._closed:
            return [self._gone()] * len(calls)
        client = self._writing if writes else self._reading
        name = function_name(function)
        answers = await self._pipeline(client, name, calls)
        missing = [place for place, answer in enumerate(answers) if isinstance(answer, FunctionMissing)]
        if missing:
            try:
                await self._load(client)
                again = await self._pipeline(client, name, [calls[place] for place in missing])
            except (Unanswered, StateDamaged) as error:
                again = [error] * len(missing)
            for place, answer in zip(missing, again, strict=True):
                answers[place] = answer
        return [
            Unanswered(f"the function library went away again: {answer}")
            if isinstance(answer, FunctionMissing)
            else answer
            for answer in answers
        ]

    async def _pipeline(self, client: Redis, name: str, calls: Sequence[Call]) -> list[Answer | FunctionMissing]:
        try:
            async with client.pipeline(transaction=False) as pipeline:
                for key, payload in calls:
                    pipeline.execute_command("FCALL", name, 1, key, payload)
                replies = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            return [self._unanswered("FCALL", error)] * len(calls)
        return [self._translated("FCALL", reply) if isinstance(reply, Exception) else reply for reply in replies]

    async def ask(self, *command: Any) -> Any:
        """One command, sent once. Raises Unanswered, StateDamaged."""
        if self._closed:
            raise self._gone()
        return await self._ask(self._reading, *command)

    async def _ask(self, client: Redis, *command: Any) -> Any:
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            raise self._translated(str(command[0]), error) from error
        except (RedisError, OSError, TimeoutError) as error:
            raise self._unanswered(str(command[0]), error) from error

    async def check(self, durability: str, *, clustered: bool) -> list[str]:
        """What must be changed before the server may be trusted with state. Loads the function library.

        Raises Unanswered, and ConfigError: it has no functions.
        """
        memory = await self.ask("INFO", "memory")
        persistence = await self.ask("INFO", "persistence")
        cluster = await self.ask("INFO", "cluster")
        problems = []
        policy = memory.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            problems.append(f"maxmemory-policy is {policy}: must be noeviction, or Redis would drop aggregates")
        if durability == "aof" and not int(persistence.get("aof_enabled", 0)):
            problems.append("appendonly is no: must be yes where ENGINE_DURABILITY is aof")
        if int(cluster.get("cluster_enabled", 0)) and not clustered:
            problems.append("it is a node of a cluster: the URL must begin with redis+cluster:// or rediss+cluster://")
        if not problems:
            await self._load(self._writing)
        return problems

    async def _load(self, client: Redis) -> None:
        try:
            await self._ask(client, "FUNCTION LOAD", TEXT)
        except StateDamaged as error:
            if "already exists" in str(error):  # another worker was faster
                return
            if "unknown command" in str(error).lower():
                raise ConfigError(["the server has no functions: Redis 7.2 or later, or Valkey, is needed"]) from error
            raise

    async def make_durable(self, level: str, key: bytes) -> None:
        """Returns when everything that this server has acknowledged is on disk or on a replica. Raises Unanswered.

        A connection waits for its own writes only. So a small write (to `key`) follows all others, in the order of the
        server, and what is waited for is that one.
        """
        wait_ms = int(self._timeout_s * 1_000 * WAIT_SHARE)
        try:
            async with self._lasting.pipeline(transaction=False) as pipeline:
                pipeline.incr(key)
                if level == "aof":
                    pipeline.waitaof(1, 0, wait_ms)
                else:
                    pipeline.wait(1, wait_ms)
                _, answer = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unanswered(f"waiting for durability {level} at {self.address}: {error}") from error
        if not (answer[0] if isinstance(answer, list) else answer):
            raise Unanswered(f"durability {level} was not reached at {self.address} within {wait_ms} ms")

    def _gone(self) -> Unanswered:
        return Unanswered(f"{self.address} does not answer for these keys any more")

    def _unanswered(self, command: str, error: BaseException) -> Unanswered:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Unanswered(f"{command} was not answered by {self.address}: {said}")

    def _translated(self, command: str, error: Exception) -> Unanswered | StateDamaged | FunctionMissing:
        """redis-py cuts the code off an error that it knows, and keeps it in `status_code`."""
        text = str(error)
        code = getattr(error, "status_code", None) or text.split(" ", 1)[0]
        if code in NOT_NOW:
            return Unanswered(f"{self.address} says to {command}: {code} {text.removeprefix(code).strip()}")
        if "Function not found" in text:
            return FunctionMissing(text)
        return StateDamaged(f"{self.address} says to {command}: {text}")
