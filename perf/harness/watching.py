"""Many viewers in one process, for the time of a load: what they got, how late, and whether it was all true."""

import asyncio
import gzip
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from perf.harness.checks import CheckFailed
from perf.harness.figures import percentile
from perf.harness.open_loop import now_us, sleep_until
from perf.harness.streams import Frame, Look, StreamViewer, ended_by, open_viewers

SHOWN_WITHIN_S = 30.0
"""So long after the load the last totals may still come."""
LOOK_S = 0.1
GZIP_LEVEL = 6


class Span(NamedTuple):
    """What is judged (µs since 1970)."""

    from_us: int
    until_us: int
    sent_us: int
    """When the last event of the load is due, which may be later."""

    @property
    def seconds(self) -> float:
        return (self.until_us - self.from_us) / 1e6


class Truth(NamedTuple):
    """What each look must show in the end: the amount by customer."""

    by_look: Mapping[Look, Mapping[str, str]]

    def untrue(self, viewer: StreamViewer) -> dict[str, tuple[object, str]]:
        """Customers of whom the viewer was told something else: what, and what is true."""
        wanted = self.by_look[viewer.look]
        told = {name: viewer.rows.get(name, {}).get("spend") for name in wanted}
        return {name: (told[name], spend) for name, spend in wanted.items() if told[name] != spend}


async def watch_streams(*, url: str, looks: Sequence[Look], span: Span, truth: Truth) -> dict[str, float]:
    """Opens the streams, reads until everything is shown, and tells of the span.

    Raises:
        CheckFailed: a stream ended, a frame was none or came out of order, or a viewer was told something untrue.
    """
    viewers = await open_viewers(url, looks)
    return await ended_by(_judge(viewers, span, truth), viewers)


async def _judge(viewers: Sequence[StreamViewer], span: Span, truth: Truth) -> dict[str, float]:
    await sleep_until(span.from_us)
    before = sum(each.received_bytes for each in viewers)
    await sleep_until(span.until_us)
    received = sum(each.received_bytes for each in viewers) - before
    await _until_true(viewers, span, truth)
    return figures_of(viewers, span, received)


async def _until_true(viewers: Sequence[StreamViewer], span: Span, truth: Truth) -> None:
    """Raises CheckFailed."""
    while untrue := next(((each.look, found) for each in viewers if (found := truth.untrue(each))), None):
        if now_us() > span.sent_us + SHOWN_WITHIN_S * 1e6:
            raise CheckFailed(
                f"a viewer of {untrue[0].path} was told (told, true): {dict(list(untrue[1].items())[:5])}"
            )
        await asyncio.sleep(LOOK_S)


def figures_of(viewers: Sequence[StreamViewer], span: Span, received_bytes: int) -> dict[str, float]:
    """By viewer and second; delays count from when a pipeline frame says it was made."""
    judged = [
        frame for viewer in viewers for frame in viewer.frames if span.from_us <= frame.read_us < span.until_us
    ]  # fmt: skip
    per_viewer_s = span.seconds * len(viewers)
    counts = {name: sum(frame.event == name for frame in judged) for name in ("totals", "pipeline", "alert")}
    delays_ms, ages_ms = (_since_as_of_ms(judged, event) for event in ("pipeline", "totals"))
    largest = max((viewer.largest for viewer in viewers), key=len)
    return {
        "frames_per_s": len(judged) / per_viewer_s,
        **{f"{name}_frames_per_s": count / per_viewer_s for name, count in counts.items()},
        "viewer_bytes_per_s": received_bytes / per_viewer_s,
        "delay_p50_ms": percentile(delays_ms, 0.5),
        "delay_p99_ms": percentile(delays_ms, 0.99),
        "totals_age_p50_ms": percentile(ages_ms, 0.5),
        "totals_age_p99_ms": percentile(ages_ms, 0.99),
        "largest_totals_bytes": float(len(largest)),
        "largest_totals_gzip_bytes": float(len(gzip.compress(largest, GZIP_LEVEL, mtime=0))),
    }


def _since_as_of_ms(frames: Sequence[Frame], event: str) -> list[float]:
    return sorted(
        (frame.read_us - frame.as_of_us) / 1e3
        for frame in frames
        if frame.event == event and frame.as_of_us is not None
    )
