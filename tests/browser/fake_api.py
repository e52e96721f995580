"""A stand-in for the API that serves the page with changing figures, in any of the states that people may see.

`python -m tests.browser.fake_api --state load --port 8089`. The state can be changed while it runs.
"""

import argparse
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from billing.dashboard.assets import CONTENT_SECURITY_POLICY, load_assets
from tests.browser import fake_answers as answers
from tests.browser.fake_customer import Missing, answer_of
from tests.browser.fake_data import World

STATES = {
    "load": "all is well",
    "unconfigured": "no catalog is registered",
    "no_events": "nothing was ever sent",
    "delayed": "figures are four seconds old",
    "disconnected": "the stream is refused",
    "silent": "streams open and say nothing",
    "part_failed": "alerts are not answered, and one partition is not known",
    "loading": "answers do not come",
    "vast": "figures are as large as they get",
}
NO_WORLD = ("unconfigured", "no_events")
FRAME_S = 0.4


class Failing(Exception):
    """503, with its words."""


class FakeApi:
    """Answers by path; `state` is one of STATES."""

    def __init__(self, state: str = "load", *, seed: int = 7) -> None:
        self.seed = seed
        self.assets = load_assets()
        self.closed = threading.Event()
        self.changed = threading.Condition()
        self.frames: list[tuple[str, dict[str, Any]]] = []
        self.requests: Counter[str] = Counter()
        self.streams = 0
        """How many are open, as far as writing to them has shown."""
        self.answering = threading.Event()
        """Set, except while answers do not come."""
        self.drawing = threading.Event()
        """Set, except while the library of charts does not come."""
        self.drawing.set()
        self.put(state)

    def put(self, state: str) -> None:
        """Into a state, with a world as it is in that state."""
        self.answering.set()
        self.answering = threading.Event()
        if state != "loading":
            self.answering.set()
        self.state = state
        self.world = World(seed=self.seed, empty=state in NO_WORLD)
        if state == "vast":
            self.world.grow()

    def run(self) -> None:
        """Lets the world go on until closed."""
        while not self.closed.wait(FRAME_S):
            rows, alerts = self.world.step(FRAME_S)
            with self.changed:
                self.frames += [("alert", alert) for alert in alerts]
                if self.state != "unconfigured":
                    self.frames.append(("totals", answers.totals(self.world, rows, self.freshness_s)))
                self.frames.append(("pipeline", self.pipeline()))
                self.changed.notify_all()

    def tell(self, name: str, content: dict[str, Any]) -> None:
        """A frame of its own to all that listen."""
        with self.changed:
            self.frames.append((name, content))
            self.changed.notify_all()

    @property
    def freshness_s(self) -> float:
        return 4.3 if self.state == "delayed" else round(max(0.1, *map(answers.lag_s, self.world.partitions)), 3)

    def pipeline(self) -> dict[str, Any]:
        return answers.pipeline(self.world, self.freshness_s, failing=self.state == "part_failed")

    def answer(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """Raises Missing, Failing."""
        self.requests[path] += 1
        if path != "/readyz":  # in the product, that comes with the document
            self.answering.wait()
        if self.state == "unconfigured" and path not in ("/v1/pipeline", "/readyz"):
            raise Failing("not ready: no catalog is registered yet")
        if self.state == "part_failed" and path == "/v1/alerts":
            raise Failing("alerts are being read, try again shortly")
        fixed: dict[str, Callable[[], dict[str, Any]]] = {
            "/readyz": lambda: answers.readiness(configured=self.state != "unconfigured"),
            "/v1/overview": lambda: answers.overview(self.world, self.freshness_s),
            "/v1/customers": lambda: answers.customers(self.world, query),
            "/v1/alerts": lambda: answers.alerts(self.world, query),
            "/v1/pipeline": self.pipeline,
            "/v1/pipeline/history": lambda: {"data": self.world.history},
            "/v1/dead-letters": lambda: answers.letters(self.world),
        }
        if path in fixed:
            return fixed[path]()
        parts = path.strip("/").split("/")
        if parts[:2] == ["v1", "customers"] and len(parts) >= 4:
            return answer_of(self.world, unquote(parts[2]), "/".join(parts[3:]), query)
        raise Missing


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 around a FakeApi."""

    protocol_version = "HTTP/1.1"
    api: FakeApi

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/v1/stream":
            self.stream()
        elif parts.path.startswith(("/v1/", "/readyz")):
            self.json(parts.path, query)
        elif asset := self.api.assets.get(parts.path):
            if "uplot" in parts.path.lower():
                self.api.drawing.wait()
            self.send(200, asset.content, asset.content_type)
        elif parts.path.startswith("/assets/") or parts.path == "/favicon.ico":
            self.send(404, b"", "text/plain")
        else:
            self.send(200, self.api.assets.html, "text/html; charset=utf-8")

    def json(self, path: str, query: dict[str, str]) -> None:
        try:
            self.send(200, json.dumps(self.api.answer(path, query)).encode(), "application/json")
        except Missing:
            self.send(404, b'{"status":404,"title":"Not Found"}', "application/problem+json")
        except Failing as error:
            body = json.dumps({"status": 503, "title": "Service Unavailable", "detail": str(error)})
            self.send(503, body.encode(), "application/problem+json")

    def send(self, status: int, body: bytes, content_type: str) -> None:
        try:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-security-policy", CONTENT_SECURITY_POLICY)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            return  # the page was left while it waited

    def stream(self) -> None:
        api = self.api
        if api.state == "disconnected":
            self.send(503, b"", "text/plain")
            return
        api.answering.wait()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        at = len(api.frames)
        with api.changed:
            api.streams += 1
        try:
            if api.state != "silent":
                self.frame("hello", {"as_of": answers.now_text(), "catalog_version": 3})
            while not api.closed.is_set() and api.state != "disconnected":
                with api.changed:
                    api.changed.wait(FRAME_S)
                    frames, at = api.frames[at:], len(api.frames)
                if api.state != "silent":
                    for name, content in frames:
                        self.frame(name, content)
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            with api.changed:
                api.streams -= 1

    def frame(self, name: str, content: dict[str, Any]) -> None:
        self.wfile.write(f"event: {name}\ndata: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()


@contextmanager
def serving(state: str = "load", *, port: int = 0, seed: int = 7) -> Iterator[tuple[FakeApi, str]]:
    """A running fake and its address on loopback."""
    api = FakeApi(state, seed=seed)
    server = ThreadingHTTPServer(("127.0.0.1", port), type("BoundHandler", (Handler,), {"api": api}))
    server.daemon_threads = True
    threads = [threading.Thread(target=work, daemon=True) for work in (server.serve_forever, api.run)]
    for thread in threads:
        thread.start()
    try:
        yield api, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        api.closed.set()
        api.answering.set()
        api.drawing.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", choices=STATES, default="load", help="; ".join(map(": ".join, STATES.items())))
    parser.add_argument("--port", type=int, default=8089)
    options = parser.parse_args()
    with serving(options.state, port=options.port) as (_, address):
        print(address, flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
