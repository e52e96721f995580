"""How many calls should run at once, learned from their latency alone.

Little's law gives the throughput of n calls that each take L: n / L. So latency tells what one more call at once gives:
as long as it stays the same, throughput grows with n; where it grows with n, calls only wait for each other. The knee
between the two is found by comparing two windows of calls at different numbers: the limit and, now and then, a *probe*
at half of it, or two limits on the way up. The elasticity of the throughput between them (1: it grew with n, 0: it did
not grow, below: it fell) moves the limit. Nothing older than one comparison is remembered, so the knee is followed when
it moves, and a server that becomes slower for everybody is not taken for one that is full. Time is not read: what
passes between two calls that finish is the latency divided by the number that runs.

Sources: Little, "A Proof for the Queuing Formula L = λW", 1961. Kleinrock, "Power and Deterministic Rules of Thumb",
1979: throughput over latency is greatest where the elasticity is a half (a little more here, since many servers lose
throughput beyond their knee). TCP Vegas (Brakmo and Peterson, 1995): the throughput expected without waiting against
the actual one. Netflix concurrency-limits, Gradient2: the ratio of two latencies as the gradient. Riedmiller and Braun,
"RPROP", 1993: a gain that grows while it goes one way and shrinks while it goes to and fro.
"""

from math import exp, log
from typing import Final, NamedTuple

PROBE_SHARE: Final = 0.5
"""A probe runs at this share of the limit."""
KNEE_ELASTICITY: Final = 0.6
"""Where the limit comes to rest: at a sharp knee, 1.3 times the number at which waiting begins."""
GAIN_MAX: Final = 2 * log(2)
"""How far the elasticity moves the limit (as a logarithm): 1.7 times with all of it, a half without any."""
GAIN_MIN: Final = 0.1
SAMPLES_MIN: Final = 50
TURNOVERS: Final = 3.0
"""A window lasts so many times the latency of calls in progress: what finishes together is not independent."""
ERROR_MAX: Final = 0.07
"""The relative standard error at which a latency is known well enough."""
SAMPLES_MAX: Final = 300
"""A window ends here even if it is not."""
SETTLING: Final = 1.5
"""After a change, so many times the latency of calls in progress pass before anything is measured."""
GENERATIONS_MAX: Final = 32
"""Settling and windows end after so many calls of every place, though a single call took for ever."""
REST_MAX: Final = 40.0
"""When nothing moves, there are so many times the calls of the last probe between two probes."""
COMPARABLE: Final = log(1.4)
"""Limits that differ by less (as a logarithm) are not compared: noise would outweigh the difference."""
ELASTICITY_MAX: Final = 1.5
"""Throughput cannot grow faster than the number: more than this means that the server changed in between."""
SURPRISE: Final = 0.4
"""A latency that moves by this (as a logarithm) ends the rest."""
USED_SHARE: Final = 0.8
"""Below this share of the limit on average it is something else that limits, and nothing is learned."""
LATENCY_MIN_S: Final = 1e-6


class Window:
    """Latencies of consecutive calls, as logarithms: a rare slow call moves their mean little."""

    def __init__(self) -> None:
        self.count = 0
        self.running = 0
        self.elapsed_s = 0.0
        self._sum = 0.0
        self._squares = 0.0
        self._sum_s = 0.0
        self._squares_s = 0.0

    def add(self, latency_s: float, running: int) -> None:
        logarithm = log(latency_s)
        self.count += 1
        self.running += running
        self.elapsed_s += latency_s / running
        self._sum += logarithm
        self._squares += logarithm * logarithm
        self._sum_s += latency_s
        self._squares_s += latency_s * latency_s

    @property
    def latency(self) -> float:
        """The mean logarithm."""
        return self._sum / self.count

    @property
    def in_progress_s(self) -> float:
        """The mean latency of the calls that are found in progress at any moment: long ones are found more often."""
        return self._squares_s / self._sum_s

    def complete(self, limit: int) -> bool:
        if self.count < SAMPLES_MIN:
            return False
        if self.elapsed_s < TURNOVERS * self.in_progress_s and self.count < GENERATIONS_MAX * limit:
            return False
        error_squared = max(0.0, self._squares / self.count - self.latency**2) / self.count
        return self.count >= SAMPLES_MAX or error_squared <= ERROR_MAX**2


class Held(NamedTuple):
    number: int
    latency: float
    """The mean logarithm."""


class GradientLimit:
    """Tell it every call that finished; read `limit`, which changes only then.

    Calls that fail at once say nothing of what the server can take: leave them out. One that timed out says much.
    """

    def __init__(self, minimum: int, maximum: int, initial: int) -> None:
        assert 1 <= minimum <= initial <= maximum
        self.minimum = minimum
        self.maximum = maximum
        self.limit = initial
        """How many calls may run at once, now."""
        self._target = float(initial)
        """What the limit is between probes."""
        self._window = Window()
        self._elapsed_s = 0.0
        """Since the limit changed, or was confirmed."""
        self._settled_s = 0.0
        """When calls that began under another limit have finished, counted as `_elapsed_s` is."""
        self._settling = 0
        """After how many calls at the latest."""
        self._held: Held | None = None
        """The last window that was no probe."""
        self._first_latency: float | None = None
        """Of this rest."""
        self._calls = 0
        """Since the limit changed, or was confirmed."""
        self._probe_calls = 0
        """How many the last probe took."""
        self._rest = 0.0
        """How many times as many the limit now rests."""
        self._gain = GAIN_MAX
        self._push = 1.0

    @property
    def probing(self) -> bool:
        return self.limit < round(self._target)

    def observe(self, latency_s: float, running: int) -> None:
        """A call has finished after so long, while `running` calls ran, itself among them."""
        assert running >= 1
        latency_s = max(latency_s, LATENCY_MIN_S)
        self._calls += 1
        self._elapsed_s += latency_s / running
        if self._settling and self._elapsed_s < self._settled_s:
            self._settling -= 1
            return
        self._settling = 0
        self._window.add(latency_s, running)
        if self._window.complete(self.limit):
            window, self._window = self._window, Window()
            self._learn(window)

    def _learn(self, window: Window) -> None:
        held = self._held
        if window.running < USED_SHARE * self.limit * window.count:
            self._held, self._rest = None, 0.0
            self._change(self._target, window)
            return
        if self.probing:
            self._probe_calls = self._calls
        else:
            self._held = Held(self.limit, window.latency)
        if held is not None and (self.probing or log(self.limit / held.number) >= COMPARABLE):
            self._compare(held, window)
        else:
            self._hold(window)

    def _hold(self, window: Window) -> None:
        """The limit rests, until it is time for a probe."""
        if self._first_latency is None:
            self._first_latency = window.latency
        if abs(window.latency - self._first_latency) > SURPRISE:
            self._hurry()
        if self._calls < self._rest * self._probe_calls:
            return
        probe = max(self.minimum, int(self._target * PROBE_SHARE))
        if probe < round(self._target):
            self._change(probe, window)
        else:
            self._move(1.0, window)

    def _compare(self, held: Held, window: Window) -> None:
        elasticity = 1.0 - (window.latency - held.latency) / log(self.limit / held.number)
        if elasticity > ELASTICITY_MAX:
            self._hurry()
            self._change(self._target, window)
        else:
            self._move(elasticity, window)

    def _hurry(self) -> None:
        """The server is another one: look at once, and go far."""
        self._rest, self._gain = 0.0, GAIN_MAX

    def _move(self, elasticity: float, window: Window) -> None:
        push, before = elasticity - KNEE_ELASTICITY, self._target
        same_way = push * self._push > 0
        self._push = push
        self._gain = min(GAIN_MAX, 1.7 * self._gain) if same_way else max(GAIN_MIN, self._gain / 2)
        step = max(-log(2), min(self._gain * push, log(2)))
        self._target = max(float(self.minimum), min(before * exp(step), float(self.maximum)))
        travelling = same_way and self._target != before and abs(step) > 0.1
        self._rest = 0.0 if travelling else max(1.0, min(4 * self._rest, REST_MAX))
        self._change(self._target, window)

    def _change(self, number: float, window: Window) -> None:
        """Another limit; `window` is the last one under the limit that was."""
        self._first_latency = None
        self._calls, self._elapsed_s = 0, 0.0
        if round(number) != self.limit:
            self._settled_s = SETTLING * window.in_progress_s
            self._settling = GENERATIONS_MAX * max(self.limit, round(number))
            self.limit = round(number)
