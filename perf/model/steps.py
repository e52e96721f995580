"""How much was done when, and how far that is behind what had arrived. Pure."""

from bisect import bisect_right
from collections.abc import Sequence

from perf.harness.figures import percentile
from perf.harness.steady import NotSteady

WARM_SHARE = 0.2
"""Of the time, or of a backlog a tenth: not judged."""
WARM_SHARE_OF_BACKLOG = 0.1


class Steps:
    """The number of events that are done, as a function of time."""

    def __init__(self) -> None:
        self.done = 0
        self._times_s: list[float] = []
        self._done: list[int] = []

    def add(self, now_s: float, events: int) -> None:
        """So many more are done. Times never fall."""
        if not events:
            return
        self.done += events
        self._times_s.append(now_s)
        self._done.append(self.done)

    def done_at(self, time_s: float) -> int:
        place = bisect_right(self._times_s, time_s)
        return self._done[place - 1] if place else 0

    def figures(self, arrived_s: Sequence[float], began_s: float, end_s: float, *, backlog: bool) -> dict[str, float]:
        """`events_per_s`, and for events that came at a rate how far the state was behind them.

        `lag_*_ms`: at each write, how long ago the first event arrived that was not in it, counted in the order of
        arrival. Raises NotSteady: nothing was done in the time that is judged.
        """
        if backlog:
            warm = int(len(arrived_s) * WARM_SHARE_OF_BACKLOG)
            first = next(place for place, done in enumerate(self._done) if done >= warm)
            took_s = self._times_s[-1] - self._times_s[first]
            if not took_s:
                raise NotSteady(f"{self.done} events were written at once: too few for a rate")
            return {"events_per_s": (self.done - self._done[first]) / took_s}
        warm_s = began_s + (end_s - began_s) * WARM_SHARE
        first, last = (bisect_right(self._times_s, time_s) for time_s in (warm_s, end_s))
        lags_ms = sorted(
            (self._times_s[place] - arrived_s[min(self._done[place], len(arrived_s) - 1)]) * 1000
            for place in range(first, last)
        )
        if not lags_ms:
            raise NotSteady(f"nothing was written in {end_s - warm_s:g} virtual seconds")
        rate = (self.done_at(end_s) - self.done_at(warm_s)) / (end_s - warm_s)
        behind = float(bisect_right(arrived_s, end_s) - self.done_at(end_s))
        return {
            "events_per_s": rate,
            "lag_p50_ms": max(0.0, percentile(lags_ms, 0.5)),
            "lag_p99_ms": max(0.0, percentile(lags_ms, 0.99)),
            "behind_events": behind,
        }
