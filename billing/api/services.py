"""What the routes share: everything an API process has, and how a process says what it waits for."""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from billing.api.alert_feed import AlertFeed
from billing.api.hub import Hub
from billing.api.letters import LetterBox
from billing.api.recent import RecentEvents
from billing.catalog import Catalog
from billing.config import BillingConfig
from billing.connections import warning_of_other_catalog
from billing.domain.customers import Customer
from billing.domain.timestamps import time_text
from billing.facts import Facts
from billing.standings import Standings
from billing.status import PipelineStatus
from billing.store import Store
from engine import Clock, Unanswered, bucket_of

logger = logging.getLogger("billing.api")


class Waiting:
    """What the process waits for, by part; empty: it can do its work."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def say(self, part: str, reason: str | None) -> None:
        """`reason` is why `part` holds things up; None: it does not any more."""
        if reason is None:
            if self._reasons.pop(part, None) is not None:
                logger.info("%s: there again", part)
        else:
            if part not in self._reasons:
                logger.warning("waiting for %s: %s", part, reason)
            self._reasons[part] = reason

    def reasons(self) -> list[str]:
        return [f"{part}: {reason}" for part, reason in self._reasons.items()]

    def patience(self, part: str) -> Callable[[Callable[[], Awaitable[None]]], Coroutine[Any, Any, bool]]:
        """Runs steps of `part`; one that is not answered is noted, and told by False."""

        async def patiently(step: Callable[[], Awaitable[None]]) -> bool:
            try:
                await step()
            except Unanswered as error:
                self.say(part, str(error))
                return False
            self.say(part, None)
            return True

        return patiently


@dataclass(slots=True, kw_only=True)
class Services:
    """The parts of a running API."""

    config: BillingConfig
    clock: Clock
    facts: Facts
    store: Store
    standings: Standings
    status: PipelineStatus
    feed: AlertFeed
    letters: LetterBox
    recent: RecentEvents
    hub: Hub
    waiting: Waiting
    exposition: Callable[[], bytes]
    configured: Catalog | None = None
    """What the file of BILLING_CATALOG says."""
    last_audit: dict[str, Any] | None = None
    broker: dict[str, bool] | None = None
    """What the Kafka servers were seen to do, tried once at the start; None before."""

    def catalog_differs(self) -> bool:
        """Whether the configured file says something else than what is registered."""
        return self.configured is not None and self.facts.version > 0 and self.configured != self.facts.catalog

    def waits_for(self) -> list[str]:
        """Why the process cannot do its work now, in words; empty if it can."""
        reasons = self.waiting.reasons()
        if not self.facts.read:
            reasons.append("facts: they are still being read")
        elif not self.facts.version:
            reasons.append("catalog: none is registered; set BILLING_CATALOG or run: billing catalog apply CATALOG")
        elif not self.facts.is_current(self.clock.now_ms()):
            reasons.append("facts: their end was not seen lately, so Kafka may be away")
        return reasons + [f"{what}: {why}" for what, why in self.status.problems.items()]

    def warnings(self) -> list[str]:
        """What people should know although the process works."""
        found = ["the API is open: no keys are configured"]
        if self.catalog_differs():
            found.append(warning_of_other_catalog(self.config))
        return found

    async def mark(self, customer: Customer) -> "Mark":
        """To be made before the state is read: how much a reading from now on may lack."""
        asked_ms = self.clock.now_ms()
        await self.status.fresh()
        return Mark(self.status.lag_s(self.bucket_of(customer.id), asked_ms=asked_ms), self.clock)

    def bucket_of(self, customer_id: str) -> int:
        """Where the engine keeps the customer."""
        return bucket_of(customer_id.encode(), self.config.engine.buckets)


class Mark:
    """The greatest age of what a reading may lack, growing until the answer leaves."""

    def __init__(self, lag_s: float | None, clock: Clock) -> None:
        self._lag_s = lag_s
        self._clock = clock
        self._made_ms = clock.now_ms()

    @property
    def as_of(self) -> str:
        return time_text(self._made_ms * 1_000)

    @property
    def made_s(self) -> int:
        return self._made_ms // 1_000

    def lag_s(self) -> float | None:
        """0 if nothing is lacking, None if that is not known."""
        if not self._lag_s:
            return self._lag_s
        return round(self._lag_s + max(0, self._clock.now_ms() - self._made_ms) / 1_000, 3)
