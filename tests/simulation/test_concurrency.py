"""The learned limit of concurrency against the best fixed one, in a small model of a server with its callers.

A closed loop: whenever fewer calls run than the limit allows, another begins at once, so the backlog never ends. The
whole run counts, from a limit of 20 on, with all that the limit spends on learning.
"""

import heapq
import math
from collections.abc import Callable
from functools import cache
from random import Random
from typing import NamedTuple, Protocol

import pytest

from engine.core.concurrency import GradientLimit

Latency = Callable[[float, int, Random], float]
"""Of a call that begins now, as so many run, by chance."""

MAXIMUM = 128
FIXED = (8, 16, 24, 32, 48, 64, 96, MAXIMUM)
RUN_S = 120.0


class Limit(Protocol):
    limit: int

    def observe(self, latency_s: float, running: int) -> None: ...


class Fixed:
    def __init__(self, limit: int) -> None:
        self.limit = limit

    def observe(self, latency_s: float, running: int) -> None:
        """It learns nothing."""


class Served(NamedTuple):
    throughput: float
    """Calls a second."""
    limits: list[int]
    """Once a second."""


def serve(limit: Limit, latency: Latency, seed: int) -> Served:
    random = Random(seed)
    now_s, done = 0.0, 0
    running: list[tuple[float, float]] = []
    limits = [limit.limit]
    while now_s < RUN_S:
        while len(running) < limit.limit:
            took_s = latency(now_s, len(running) + 1, random)
            heapq.heappush(running, (now_s + took_s, took_s))
        now_s, took_s = heapq.heappop(running)
        limit.observe(took_s, len(running) + 1)
        done += 1
        limits += [limit.limit] * (int(now_s) + 1 - len(limits))
    return Served(done / now_s, limits)


@cache
def fixed(number: int, latency: Latency) -> float:
    """The throughput of a fixed number."""
    return serve(Fixed(number), latency, 0).throughput


def jitter(random: Random) -> float:
    """1 on average, with a coefficient of variation of a third."""
    return random.gammavariate(9, 1 / 9)


def full(running: int, capacity: float, loss: float = 0.0) -> float:
    """How many times longer a call takes: beyond the capacity all share it, and some of it is lost."""
    return math.pow(max(1.0, running / capacity), 1 + loss)


def constant(now_s: float, running: int, random: Random) -> float:
    return 0.05


def bimodal(now_s: float, running: int, random: Random) -> float:
    return 0.2 if random.random() < 0.1 else 0.02


def saturating(now_s: float, running: int, random: Random) -> float:
    return 0.05 * jitter(random) * full(running, 24)


def thrashing(now_s: float, running: int, random: Random) -> float:
    return 0.05 * jitter(random) * full(running, 24, loss=0.25)


def step_change(now_s: float, running: int, random: Random) -> float:
    """Half-way the server loses most of its capacity, and every call takes longer."""
    if now_s < RUN_S / 2:
        return 0.05 * jitter(random) * full(running, 64, loss=0.1)
    return 0.1 * jitter(random) * full(running, 16, loss=0.1)


def slow_drift(now_s: float, running: int, random: Random) -> float:
    """Calls take three times as long in the end, and the server takes a third of them."""
    share = now_s / RUN_S
    return 0.03 * (1 + 2 * share) * jitter(random) * full(running, 96 - 64 * share, loss=0.1)


PROFILES = (constant, bimodal, saturating, thrashing, step_change, slow_drift)


@pytest.mark.parametrize("latency", PROFILES, ids=lambda profile: profile.__name__)
def test_nine_tenths_of_the_best_fixed_number(latency: Latency) -> None:
    best = max(fixed(number, latency) for number in FIXED)
    learned = [serve(GradientLimit(1, MAXIMUM, 20), latency, seed).throughput / best for seed in (1, 2)]
    assert min(learned) >= 0.9, learned


@pytest.mark.parametrize(
    ("latency", "from_s", "to_s", "capacity"),
    [
        (saturating, 20, 120, 24),
        (thrashing, 20, 120, 24),
        (step_change, 20, 60, 64),
        (step_change, 80, 120, 16),
        (slow_drift, 100, 120, 37),
    ],
)
def test_the_limit_stays_at_the_knee(latency: Latency, from_s: int, to_s: int, capacity: int) -> None:
    """More calls at once would only wait for each other; fewer leave the server idle. Probes are short."""
    limits = sorted(serve(GradientLimit(1, MAXIMUM, 20), latency, 1).limits[from_s:to_s])
    assert 0.9 * capacity <= limits[len(limits) // 2] <= 1.6 * capacity
    assert limits[-1] <= 2.5 * capacity


@pytest.mark.parametrize("number", [8, MAXIMUM])
def test_no_fixed_number_does_it_everywhere(number: int) -> None:
    """What is asked of the limit is more than a lucky choice."""
    shares = [fixed(number, latency) / max(fixed(each, latency) for each in FIXED) for latency in (constant, thrashing)]
    assert min(shares) < 0.9
