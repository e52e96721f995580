"""`billing catalog apply` and `billing catalog show`: the facts, from the command line."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import orjson

from billing.catalog import load_catalog
from billing.config import BillingConfig
from billing.connections import Say, make_reader, make_sender, reach_kafka
from billing.domain.problems import InvalidCatalog, Problem
from billing.domain.timestamps import parse_time_us, time_text
from billing.facts import Facts, OvertakenError, apply_catalog
from engine import Sender, Unanswered
from engine.adapters.clock import SystemClock
from engine.adapters.json_log import set_up_logging


def apply_file(config: BillingConfig, path: Path, start: str | None, say: Say) -> int:
    """0 applied (or nothing to change), 1 if somebody else was faster or Kafka did not answer.

    Raises:
        InvalidCatalog: every problem of the file, or of the change.
    """
    catalog = load_catalog(path)
    from_ms = None if start is None else _parse_from(start)

    async def apply(facts: Facts, sender: Sender) -> int:
        try:
            done = await apply_catalog(
                facts, sender, config.facts_topic, catalog, from_ms=from_ms, now_ms=SystemClock().now_ms()
            )
        except OvertakenError as error:
            say(f"billing: {error}")
            return 1
        except Unanswered as error:
            say(f"billing: Kafka has not confirmed it ({error}): see billing catalog show, and apply again if need be")
            return 1
        if done is None:
            say(f"version {facts.version} says the same already; nothing was registered")
        elif done["version"] == 1:
            say("version 1 is registered and holds from the beginning")
        else:
            moment = time_text(done["valid_from_ms"] * 1_000)
            say(f"version {done['version']} is registered: prices and limits hold now, changed meters from {moment} on")
        return 0

    return asyncio.run(_with_facts(config, say, apply))


def show_catalog(config: BillingConfig, say: Say) -> int:
    """Prints the newest version as JSON; 1 if none is registered."""

    async def show(facts: Facts, _sender: Sender) -> int:
        if not facts.version:
            say("no catalog is registered")
            return 1
        for version in facts.history.versions:
            begins = "the beginning" if version.number == 1 else time_text(version.from_ms * 1_000)
            say(f"version {version.number}: meters from {begins} on")
        document = orjson.dumps(facts.catalog.document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        sys.stdout.write(document.decode() + "\n")
        return 0

    return asyncio.run(_with_facts(config, say, show))


def _parse_from(text: str) -> int:
    try:
        return parse_time_us(text) // 1_000
    except ValueError as error:
        raise InvalidCatalog([Problem("--from", str(error))]) from error


async def _with_facts(config: BillingConfig, say: Say, act: Callable[[Facts, Sender], Awaitable[Any]]) -> int:
    """Runs `act` with facts that are known to their end and a sender."""
    set_up_logging(level="warning")
    capabilities, _ = await reach_kafka(config, say)
    sender = make_sender(config, capabilities, say)
    facts = Facts(make_reader(config, config.facts_topic, say), SystemClock(), wait_s=0.1)
    await sender.start()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(facts.run)
            await facts.reach_end()
            code = int(await act(facts, sender))
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await sender.stop()
    return code
