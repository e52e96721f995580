import io
from collections.abc import Callable

import httpx
import orjson
import pytest

from billing.send import SendFailed, Sending


class Api:
    """Answers as told, then takes everything; keeps what it accepted."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.accepted: list[int] = []
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        events = orjson.loads(request.content)
        refused = [{"index": index, "field": "id", "problem": "bad"} for index, one in enumerate(events) if one < 0]
        if refused:
            return httpx.Response(422, json={"errors": refused})
        self.accepted += events
        return httpx.Response(202, json={"accepted": len(events)})


def sending(api: Callable[[httpx.Request], httpx.Response], **limits: int) -> tuple[Sending, list[str], list[float]]:
    said: list[str] = []
    pauses: list[float] = []
    client = httpx.Client(base_url="http://api", transport=httpx.MockTransport(api))
    return Sending(client, report=said.append, pause=pauses.append, **limits), said, pauses


def lines(*events: object) -> io.BytesIO:
    return io.BytesIO(b"\n".join(orjson.dumps(event) for event in events))


def test_everything_in_batches() -> None:
    api = Api()
    found, _, _ = sending(api, events_max=3)
    sent = found.run(lines(*range(10)))
    assert (sent.accepted, sent.refused, api.requests) == (10, 0, 4)
    assert api.accepted == list(range(10))


def test_batches_fit_the_request() -> None:
    sizes = []

    def api(request: httpx.Request) -> httpx.Response:
        sizes.append(len(request.content))
        return httpx.Response(202)

    found, _, _ = sending(api, bytes_max=20)
    found.run(lines(*range(100, 130)))
    assert max(sizes) <= 20
    assert len(sizes) == 8


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(429, headers={"retry-after": "3"}),
        httpx.Response(503, headers={"retry-after": "3"}),
        httpx.Response(500),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("late"),
    ],
)
def test_what_may_have_arrived_is_sent_again(answer: httpx.Response | Exception) -> None:
    api = Api(answer, answer)
    found, said, pauses = sending(api)
    sent = found.run(lines(1, 2))
    assert (sent.accepted, sent.repeats, api.accepted) == (2, 2, [1, 2])
    assert len(said) == 2
    waits = isinstance(answer, httpx.Response) and answer.status_code != 500
    assert pauses == ([3.0, 3.0] if waits else [0.2, 0.5])


def test_refused_lines_are_reported_and_the_others_go_on() -> None:
    api = Api()
    found, said, _ = sending(api, events_max=3)
    sent = found.run(lines(1, -2, 3, 4, -5))
    assert (sent.accepted, sent.refused, api.accepted) == (3, 2, [1, 3, 4])
    assert said == ["line 2: id: bad", "line 5: id: bad"]


def test_lines_that_are_no_json_are_refused_here() -> None:
    api = Api()
    found, said, _ = sending(api)
    sent = found.run(io.BytesIO(b"1\n\n{\n 2 \n"))
    assert (sent.accepted, sent.refused, api.accepted) == (2, 1, [1, 2])
    assert said[0].startswith("line 3: not JSON")


def test_a_batch_that_is_too_large_is_halved() -> None:
    def api(request: httpx.Request) -> httpx.Response:
        return httpx.Response(413 if len(orjson.loads(request.content)) > 1 else 202)

    found, _, _ = sending(api)
    assert found.run(lines(1, 2, 3, 4, 5)).accepted == 5


def test_one_event_that_is_too_large_is_refused() -> None:
    found, said, _ = sending(lambda request: httpx.Response(413))
    assert found.run(lines(1, 2)).refused == 2
    assert said[0] == "line 1: larger than the API takes"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404),
        httpx.Response(415),
        httpx.Response(422, json={}),
        httpx.Response(422, json={"errors": [{"index": None}]}),
    ],
)
def test_what_cannot_be_mended_ends_it(answer: httpx.Response) -> None:
    found, _, _ = sending(Api(answer))
    with pytest.raises(SendFailed):
        found.run(lines(1))
