"""What customers' programs see when a limit is reached: the access decision flips, and an alert arrives.

Each customer is asked about over and over from the intended time of the event that takes it to its limit; the first
answer that says no counts, when it is in the hands of who asked. Alerts are read from their topic as a consumer does.
"""

import asyncio
from typing import Any

import httpx
import msgspec

from engine.adapters.kafka import LogReader
from perf.harness.billing_log import BillingLog, reaching_name
from perf.harness.checks import CheckFailed
from perf.harness.figures import latencies
from perf.harness.open_loop import Schedule, now_us, sleep_until
from perf.harness.steady import NotSteady

ASK_S = 0.01
"""A question begins so long after the one before, which need not be answered by then."""
BEFORE_US = 500_000
"""So long before its time a customer is asked about for the first time, and must be let in."""
ASKED_MAX = 2
"""Questions about one customer that may be on their way: a slow service is not asked more for being slow."""
ANSWER_S = 60.0
LATE_S = 20.0


async def watch_decisions(
    *, url: str, bootstrap: str, alerts_topic: str, log: BillingLog, schedule: Schedule
) -> dict[str, float]:
    """Latencies of the decision (`access_`) and of the alert (`alert_`), from the intended time of the event.

    Raises:
        CheckFailed: a customer was refused too early or never, or an alert is missing, doubled or nobody's.
        NotSteady: the service is so far behind that it does not answer.
    """
    due_us = {reaching_name(number): schedule.intended_us(log.reached_at(number)) for number in range(log.reaching)}
    judged = {name: each for name, each in due_us.items() if each >= schedule.judged_from_us + BEFORE_US}
    end_us = schedule.intended_us(log.events) + round(LATE_S * 1e6)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    # Without the client around it: that costs as much again, and processors are what all of this competes for.
    async with httpx.AsyncHTTPTransport(limits=limits) as transport, asyncio.TaskGroup() as tasks:
        alerts = tasks.create_task(_read_alerts(bootstrap, alerts_topic, due_us, end_us))
        asked = [tasks.create_task(_Question(transport, url, name, each).ask(end_us)) for name, each in judged.items()]
    access_s = [task.result() for task in asked]
    alerts_s = [(alerts.result()[name] - each) / 1e6 for name, each in judged.items()]
    return (
        latencies(access_s, prefix="access_") | latencies(alerts_s, prefix="alert_") | {"reached": float(len(judged))}
    )


class _Question:
    """May this customer go on?"""

    def __init__(self, transport: httpx.AsyncHTTPTransport, url: str, customer: str, due_us: int) -> None:
        self._transport = transport
        timeout = httpx.Timeout(ANSWER_S).as_dict()
        path = f"{url}/v1/customers/{customer}/access"
        self._request = httpx.Request("GET", path, extensions={"timeout": timeout})
        self._customer = customer
        self._due_us = due_us
        self._refusals_us: list[int] = []
        self._asked = 0

    async def ask(self, end_us: int) -> float:
        """Seconds from the intended time to the first answer that says no. Raises CheckFailed."""
        await sleep_until(self._due_us - BEFORE_US)
        await self._ask_once()
        await sleep_until(self._due_us)
        async with asyncio.TaskGroup() as tasks:
            while not self._refusals_us:
                if now_us() > end_us:
                    raise CheckFailed(f"{self._customer} is still let in {LATE_S:g} s after the last event")
                if self._asked < ASKED_MAX:
                    tasks.create_task(self._ask_once())
                await asyncio.sleep(ASK_S)
        if (refused_us := min(self._refusals_us)) < self._due_us:
            raise CheckFailed(f"{self._customer} was refused before its limit was reached")
        return (refused_us - self._due_us) / 1e6

    async def _ask_once(self) -> None:
        self._asked += 1
        try:
            response = await self._transport.handle_async_request(self._request)
            await response.aread()
        except httpx.TimeoutException as error:
            raise NotSteady(f"{self._customer} was asked about for {ANSWER_S:g} s without an answer") from error
        at_us = now_us()
        self._asked -= 1
        response.request = self._request
        if not response.raise_for_status().json()["allowed"]:
            self._refusals_us.append(at_us)


class _Alert(msgspec.Struct):
    customer: str


async def _read_alerts(bootstrap: str, topic: str, due_us: dict[str, int], end_us: int) -> dict[str, int]:
    """When the alert of each customer was there, in µs since 1970. Raises CheckFailed."""
    arrived_us: dict[str, int] = {}
    decode = msgspec.json.Decoder(_Alert).decode
    reader = LogReader(bootstrap, topic=topic)
    await reader.start()
    try:
        for partition in reader.partitions:
            reader.seek(partition, await reader.beginning(partition))
        while len(arrived_us) < len(due_us):
            if now_us() > end_us:
                raise CheckFailed(f"{len(arrived_us)} of {len(due_us)} alerts have come")
            batches: Any = await reader.fetch(wait_s=1.0)
            at_us = now_us()
            for event in (each for batch in batches.values() for each in batch):
                _note(decode(event.value or b"").customer, at_us, due_us, arrived_us)
    finally:
        await reader.stop()
    return arrived_us


def _note(customer: str, at_us: int, due_us: dict[str, int], arrived_us: dict[str, int]) -> None:
    if customer in arrived_us:
        raise CheckFailed(f"a second alert for {customer}")
    if customer not in due_us:
        raise CheckFailed(f"an alert for {customer}, whose limit is far away")
    arrived_us[customer] = at_us
