"""`billing send`: newline-delimited CloudEvents through the API, a batch at a time, losing none.

A batch that may or may not have arrived is sent again: events have an identity, so sending twice counts once. What
the API refuses (422) is reported by line; the rest of that batch goes again without it.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

import httpx
import orjson

CONTENT_TYPE = "application/cloudevents-batch+json"
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
PATIENT_STATUSES = frozenset({408, 425, 429})
PROGRESS_INTERVAL_S = 1.0


class SendFailed(Exception):
    """The API answers in a way that sending again cannot mend."""


@dataclass(frozen=True, slots=True)
class Line:
    """One event as it stood in the file; `number` counts from 1."""

    number: int
    event: bytes


@dataclass(slots=True)
class Sent:
    """What became of the lines so far."""

    accepted: int = 0
    refused: int = 0
    repeats: int = 0
    """Batches that were sent again."""


def read_batches(
    lines: Iterable[bytes], refuse: Callable[[int, str], None], *, events_max: int, bytes_max: int
) -> Iterator[list[Line]]:
    """Cuts the file into batches that fit a request. Lines that are no JSON go to `refuse`; empty ones are skipped."""
    batch: list[Line] = []
    size = 2
    for number, raw in enumerate(lines, start=1):
        event = raw.strip()
        if not event:
            continue
        try:
            orjson.loads(event)
        except orjson.JSONDecodeError as error:
            refuse(number, f"not JSON: {error}")
            continue
        if batch and (len(batch) == events_max or size + len(event) + 1 > bytes_max):
            yield batch
            batch, size = [], 2
        batch.append(Line(number, event))
        size += len(event) + 1
    if batch:
        yield batch


class Sending:
    """One run. `report` gets what people should read; `pause` waits that many seconds."""

    def __init__(
        self,
        client: httpx.Client,
        *,
        report: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
        events_max: int = 1_000,
        bytes_max: int = 1_000_000,
    ) -> None:
        self._client = client
        self._report = report
        self._pause = pause
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._reported_at = time.monotonic()
        self.sent = Sent()

    def run(self, lines: Iterable[bytes]) -> Sent:
        """Sends everything and returns when all was accepted or refused.

        Raises:
            SendFailed: the API cannot be spoken to in this way at all (no such address, wrong type, not allowed).
        """
        for batch in read_batches(lines, self._refuse, events_max=self._events_max, bytes_max=self._bytes_max):
            self._send_whole(batch)
            self._show_progress()
        return self.sent

    def _send_whole(self, batch: list[Line]) -> None:
        while batch:
            response = self._post_until_answered(batch)
            if response.status_code == httpx.codes.ACCEPTED:
                self.sent.accepted += len(batch)
                return
            if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                batch = self._drop_refused(batch, response)
            elif response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE and len(batch) > 1:
                half = len(batch) // 2
                self._send_whole(batch[:half])
                batch = batch[half:]
            elif response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
                self._refuse(batch[0].number, "larger than the API takes")
                return
            else:
                raise SendFailed(f"{response.request.url} answers {response.status_code}: {response.text[:300]}")

    def _post_until_answered(self, batch: list[Line]) -> httpx.Response:
        body = b"[" + b",".join(line.event for line in batch) + b"]"
        attempt = 0
        while True:
            try:
                response = self._client.post("/v1/events", content=body, headers={"content-type": CONTENT_TYPE})
            except httpx.TransportError as error:
                reason, wait_s = f"no answer ({error})", 0.0
            else:
                if response.status_code not in PATIENT_STATUSES and response.status_code < 500:
                    return response
                reason, wait_s = f"answer {response.status_code}", _retry_after_s(response)
            wait_s = max(wait_s, BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            self._report(f"{reason}: the same {len(batch)} events again in {wait_s:g} s")
            self._pause(wait_s)
            attempt += 1
            self.sent.repeats += 1

    def _drop_refused(self, batch: list[Line], response: httpx.Response) -> list[Line]:
        """The events that nothing was said against."""
        refused: set[int] = set()
        for problem in response.json().get("errors", ()):
            index = problem.get("index")
            if not isinstance(index, int) or not 0 <= index < len(batch):
                raise SendFailed(f"the API refuses the batch as a whole: {problem}")
            self._report(f"line {batch[index].number}: {problem.get('field') or 'event'}: {problem.get('problem')}")
            refused.add(index)
        if not refused:
            raise SendFailed(f"the API refuses the batch without saying why: {response.text[:300]}")
        self.sent.refused += len(refused)
        return [line for index, line in enumerate(batch) if index not in refused]

    def _refuse(self, number: int, reason: str) -> None:
        self.sent.refused += 1
        self._report(f"line {number}: {reason}")

    def _show_progress(self) -> None:
        now = time.monotonic()
        if now - self._reported_at >= PROGRESS_INTERVAL_S:
            self._reported_at = now
            self._report(f"{self.sent.accepted:,} accepted")


def send_file(stream: IO[bytes], url: str, report: Callable[[str], None]) -> Sent:
    """Sends the lines of `stream` to the API at `url`; see `Sending.run`."""
    with httpx.Client(base_url=url, timeout=httpx.Timeout(30.0, connect=5.0)) as client:
        return Sending(client, report=report).run(stream)


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(60.0, float(response.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
