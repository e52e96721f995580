"""Requests between processes and servers: lost, late by seconds, or carried out twice; and their answers lost.

A request is carried out by the world: once sent it arrives, whatever becomes of who sent it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any, TypeVar

from engine.errors import Unanswered
from engine.sim.loop import WORLD

T = TypeVar("T")

ANSWER_S = 0.2
"""A client waits so long for an answer."""


@dataclass(slots=True)
class Weather:
    """How likely a request fares badly; all are chances."""

    lost: float = 0.0
    """Of the request, and once more of its answer."""
    late: float = 0.0
    """By up to `late_s`, most often after its sender gave up."""
    twice: float = 0.0
    late_s: float = 2.5
    longest_s: float = 0.01
    """Of the usual way, there or back."""

    def clear_up(self) -> None:
        self.lost = self.late = self.twice = 0.0


class Digest:
    """A hash of everything that happened: two runs are the same if it is."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)

    def note(self, *parts: bytes) -> None:
        for part in parts:
            self._hash.update(b"%d:" % len(part))
            self._hash.update(part)

    def __str__(self) -> str:
        return self._hash.hexdigest()


class Network:
    """Carries requests. `dice` decides how each fares."""

    def __init__(self, dice: Random, weather: Weather) -> None:
        self.dice = dice
        self.weather = weather

    async def ask(self, carry_out: Callable[[], T], *, what: str, answer_s: float = ANSWER_S) -> T:
        """The answer, or what `carry_out` raised. Raises Unanswered: carried out or not, now or later."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        timer = loop.call_later(answer_s, _give_up, answer, what)
        self.send(carry_out, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def send(self, carry_out: Callable[[], T], answer: "asyncio.Future[T]") -> None:
        """Puts the request on its way; the answer is set, unless it gets lost."""
        chance, weather = self.dice.random, self.weather
        if chance() < weather.lost:
            return
        delay_s = self.dice.uniform(0.3, weather.late_s) if chance() < weather.late else self._way_s()
        loop = asyncio.get_running_loop()
        loop.call_later(delay_s, self._arrive, carry_out, answer, context=WORLD)
        if chance() < weather.twice:
            loop.call_later(self.dice.uniform(0.01, weather.late_s), self._arrive, carry_out, None, context=WORLD)

    def _arrive(self, carry_out: Callable[[], T], answer: "asyncio.Future[T] | None") -> None:
        found: T | None = None
        problem: Exception | None = None
        try:
            found = carry_out()
        except Exception as error:  # noqa: BLE001 - it is the answer
            problem = error
        if answer is None or isinstance(problem, Silence) or self.dice.random() < self.weather.lost:
            return
        asyncio.get_running_loop().call_later(self._way_s(), _set, answer, found, problem, context=WORLD)

    def _way_s(self) -> float:
        return self.dice.uniform(0.0005, self.weather.longest_s)


class Silence(Exception):
    """The server does not answer this request."""


def _give_up(answer: "asyncio.Future[T]", what: str) -> None:
    if not answer.done():
        answer.set_exception(Unanswered(f"{what}: no answer in {ANSWER_S} virtual seconds"))


def _set(answer: "asyncio.Future[Any]", found: object, problem: Exception | None) -> None:
    if answer.done():
        return
    if problem is not None:
        answer.set_exception(problem)
    else:
        answer.set_result(found)
