"""`billing audit`: connects, audits, and answers with one JSON line on stdout; the exit code says the same."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import datetime

import orjson

from billing.audit.compare import Comparison, Difference
from billing.audit.facts import CatalogRules, read_rules
from billing.audit.run import CannotTell, Report, Settings, compare_all
from billing.config import BillingConfig
from billing.connections import make_state
from billing.last_audit import post_audit
from billing.security import kafka_security
from engine import ConfigError, Event, OffsetOutOfRange, StateDamaged, StateReader, Unanswered
from engine.adapters.clock import SystemClock
from engine.adapters.kafka import LogReader

CONNECT_S = 20.0


def audit_command(config: BillingConfig, start: str | None, say: Callable[[str], None]) -> int:
    """`start`: RFC 3339. The exit code: 0 equal, 1 different, 2 could not tell. Raises ConfigError."""
    report = asyncio.run(run_audit(config, from_s=0 if start is None else _seconds(start)))
    if report.reason:
        say(f"audit: {report.audit}: {report.reason}")
    sys.stdout.write(orjson.dumps(report.as_json()).decode() + "\n")
    sys.stdout.flush()
    return report.exit_code


def _seconds(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError([f"--from {text}: must be an RFC 3339 time, for example 2026-11-01T00:00:00Z"]) from error
    if instant.tzinfo is None:
        raise ConfigError([f"--from {text}: must say its offset, for example {text}Z"])
    return int(instant.timestamp())


async def run_audit(config: BillingConfig, *, from_s: int = 0) -> Report:
    """Compares everything that Redis holds with the log, also while the system runs.

    `from_s`: only cells that start there or later, seconds since 1970; 0 for all. What keeps it from an answer is the
    report's reason.
    """
    settings = Settings(buckets=config.engine.buckets, horizon_d=config.horizon_d, from_s=from_s)
    try:
        async with AsyncExitStack() as stack:
            log = await _open(stack, config, config.topic)
            facts = _Facts(await _open(stack, config, config.facts_topic))
            server = await stack.enter_async_context(make_state(config))
            state = StateReader(server, group=config.group, buckets=config.engine.buckets)
            report = await compare_all(log, state, facts, settings)
            if report.audit == "different" and len((await _open(stack, config, config.topic)).partitions) != len(
                log.partitions
            ):
                raise CannotTell("partitions were added while it ran: run it again")
            with suppress(Unanswered):  # a notice for people: the outcome stands without it
                await post_audit(server, config.group, report.as_json(), SystemClock().now_ms())
            return report
    except CannotTell as error:
        return Report("unknown", reason=str(error))
    except OffsetOutOfRange as error:
        return Report("unknown", reason=f"the log was cut while it was read: {error}")
    except Unanswered as error:
        return Report("unknown", reason=f"a server does not answer: {error}")
    except StateDamaged as error:
        damage = Difference(None, None, None, None, str(error), None)
        return Report("different", Comparison(differences=[damage], different=1), "Redis holds what is never written")


async def _open(stack: AsyncExitStack, config: BillingConfig, topic: str) -> LogReader:
    """Raises CannotTell: Kafka does not answer, or has no such topic."""
    reader = LogReader(config.kafka, topic=topic, security=kafka_security(config))
    stack.push_async_callback(reader.stop)
    try:
        async with asyncio.timeout(CONNECT_S):
            await reader.start()
    except TimeoutError as error:
        raise CannotTell(f"topic {topic} cannot be read: Kafka did not answer within {CONNECT_S:.0f} s") from error
    return reader


class _Facts:
    def __init__(self, log: LogReader) -> None:
        self._log = log

    async def rules(self) -> CatalogRules:
        """Read from the start each time: a snapshot may hold what a newer catalog counts."""
        records: list[Event] = []
        for partition in self._log.partitions:
            first, end = await self._log.beginning(partition), await self._log.end(partition)
            async for batch in self._log.read(partition, first, end):
                records += batch
        return read_rules(records)
