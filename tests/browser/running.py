"""A running system for the page: servers of its own, the API, a worker, a catalog, and a load to look at."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from engine.embedded.broker import EmbeddedBroker
from engine.embedded.redis import EmbeddedRedis
from tests.acceptance.harness import BATCH, ROOT, System

CATALOG = ROOT / "examples" / "catalog.toml"
COMPLETION_USD = Decimal("0.00001")
"""What a completion token of the large model costs on the plan of most of the catalog's customers."""
SEED = {"acme": 41_000_000, "himal": 2_100_000, "initech": 2_900_000, "globex": 90_000_000, "sakura": 4_000, "hooli": 9}
"""Completion tokens by customer: one beyond its limit, some near it, some far from it, one without."""
LOAD = {"acme": 3_000, "hooli": 50_000, "globex": 20_000}
"""Completion tokens by customer, again and again."""
PACE_S = 0.2
CAUGHT_UP_S = 30.0


class Running:
    """Sends events all the time, except while `still` or at rest; `address` is where the API and the page are."""

    def __init__(self, system: System, runner: asyncio.Runner, redis: EmbeddedRedis) -> None:
        self.redis = redis
        self.system = system
        self.address = f"http://127.0.0.1:{system.environment['BILLING_API_PORT']}"
        self._runner = runner
        self._client = httpx.Client(base_url=self.address, timeout=30)
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._resting = threading.Event()
        self._sending = threading.Lock()

    def send(self, tokens: Mapping[str, int]) -> None:
        """One event a customer, each of so many completion tokens, and one of some prompt tokens."""
        events = [self._event(customer, "completion", number) for customer, number in tokens.items()]
        self.post([*events, *(self._event(customer, "prompt", 1_000) for customer in tokens)])

    def post(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Returns when they are in the log."""
        response = self._client.post("/v1/events", content=json.dumps(events), headers=BATCH)
        assert response.status_code == httpx.codes.ACCEPTED, response.text

    def ask(self, path: str, **parameters: str) -> httpx.Response:
        """Whatever the API answers."""
        return self._client.get(path, params=parameters)

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask(path, **parameters).raise_for_status().json()
        return answer

    def table(self, path: str, **parameters: str) -> str:
        """The same as CSV."""
        response = self._client.get(path, params=parameters, headers={"accept": "text/csv"})
        return response.raise_for_status().content.decode()

    def audit(self) -> tuple[int, dict[str, Any]]:
        """Exit code and answer of `billing audit`."""
        return self._runner.run(self.system.audit())

    def kill_api(self) -> None:
        self._runner.run(self.system.kill("api"))

    def start_api(self) -> None:
        """On the same port; returns when it is ready."""
        self.system.start("api", "api")
        self._runner.run(self.system.until_ready())

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing is sent, and everything that was is counted."""
        with self._sending:
            self.wait_until_counted()
            yield

    def run(self, load: Mapping[str, int]) -> None:
        """Sends until `end`."""
        while not self._ended.wait(PACE_S):
            if self._resting.is_set():
                continue
            with self._sending:
                self.send(load)

    def rest(self) -> None:
        """Sends no more until `go_on`."""
        self._resting.set()

    def go_on(self) -> None:
        self._resting.clear()

    def end(self) -> None:
        self._ended.set()

    def close(self) -> None:
        self._client.close()

    def wait_until_counted(self) -> None:
        deadline_s = time.monotonic() + CAUGHT_UP_S
        while self.get("/v1/pipeline")["lag"] != 0:
            assert time.monotonic() < deadline_s, self.get("/v1/pipeline")
            time.sleep(0.1)

    def _event(self, customer: str, kind: str, tokens: int) -> dict[str, Any]:
        data = {"tokens": tokens, "kind": kind, "model": "m-large", "user": "user-1"}
        head = {"specversion": "1.0", "id": f"event-{next(self._numbers)}", "source": "test", "type": "llm.tokens"}
        return head | {"subject": customer, "data": data}


@contextmanager
def running(
    catalog: Path = CATALOG,
    *,
    seed: Mapping[str, int] = SEED,
    load: Mapping[str, int] = LOAD,
    kafka: str | None = None,
) -> Iterator[Running]:
    """Starts everything (on the brokers at `kafka`, if any), sends `seed`, and goes on sending `load` until the end."""
    with ExitStack() as stack:
        bootstrap = kafka or stack.enter_context(EmbeddedBroker()).bootstrap
        redis = stack.enter_context(EmbeddedRedis())
        system = System(kafka=bootstrap, redis=redis.url, name="page", catalog={}, BILLING_CATALOG=catalog)
        runner = stack.enter_context(asyncio.Runner())
        runner.run(system.__aenter__())
        stack.callback(lambda: runner.run(system.__aexit__(None, None, None)))
        runner.run(system.start_all(workers=1))
        running_one = Running(system, runner, redis)
        stack.callback(running_one.close)
        if seed:
            running_one.send(seed)
        if load:
            thread = threading.Thread(target=running_one.run, args=(load,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(running_one.end)
        yield running_one
        system.check()
