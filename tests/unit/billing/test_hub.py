import asyncio

import pytest

from billing.api.hub import ALERTS_QUEUED_MAX, TOPICS, Hub, TooManyViewers, Window, encode_frame

ALL = Window()


def test_a_frame() -> None:
    assert encode_frame("alert", {"a": 1}, number="7") == b'id: 7\nevent: alert\ndata: {"a":1}\n\n'
    assert encode_frame("ping", b'{"a":\n1}') == b'event: ping\ndata: {"a": 1}\n\n'


def test_whole_frames_replace_each_other_and_alerts_queue_up() -> None:
    hub = Hub(viewers_max=2)
    viewer = hub.join(TOPICS, ALL)
    hub.show_totals(ALL, b"old")
    hub.show_totals(ALL, b"new")
    hub.tell_alert("acme", b"first")
    hub.tell_alert("acme", b"second")
    assert viewer.take() == b"firstsecondnew"
    assert viewer.take() == b""


def test_frames_go_to_those_who_asked() -> None:
    hub = Hub(viewers_max=9)
    only_acme = hub.join({"totals", "alerts"}, Window(customer="acme"))
    pipeline = hub.join({"pipeline"}, ALL)
    assert hub.windows == {Window(customer="acme")}
    hub.show_totals(ALL, b"all")
    hub.tell_alert("globex", b"globex")
    hub.show_pipeline(b"pipeline")
    assert (only_acme.take(), pipeline.take()) == (b"", b"pipeline")
    hub.tell_alert("acme", b"acme")
    assert (only_acme.take(), pipeline.take()) == (b"acme", b"")


def test_who_comes_later_gets_the_newest_frame_at_once() -> None:
    hub = Hub(viewers_max=9)
    first = hub.join(TOPICS, ALL)
    hub.show_totals(ALL, b"totals")
    assert hub.join(TOPICS, ALL).take() == b"totals"
    assert hub.join(TOPICS, Window(top=5)).take() == b""
    hub.leave(first)


def test_streams_are_limited() -> None:
    hub = Hub(viewers_max=1)
    viewer = hub.join(TOPICS, ALL)
    with pytest.raises(TooManyViewers):
        hub.join(TOPICS, ALL)
    hub.leave(viewer)
    hub.join(TOPICS, ALL)


async def test_a_slow_viewer_is_told_to_reload() -> None:
    hub = Hub(viewers_max=1)
    viewer = hub.join(TOPICS, ALL)
    for _ in range(ALERTS_QUEUED_MAX + 1):
        hub.tell_alert("acme", b"a")
    frames = [each async for each in hub.frames(viewer, lambda: b"ping")]
    assert frames[0].startswith(b"a" * ALERTS_QUEUED_MAX + b"event: reload")
    assert len(frames) == 1, "and the stream ends"


async def test_closing_ends_every_stream() -> None:
    hub = Hub(viewers_max=1)
    viewer = hub.join(TOPICS, ALL)

    async def read() -> list[bytes]:
        return [each async for each in hub.frames(viewer, lambda: b"ping")]

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await asyncio.sleep(0)
        hub.show_totals(ALL, b"totals")
        await asyncio.sleep(0.01)
        hub.close()
    assert reading.result() == [b"totals"]


async def test_silence_is_filled_with_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.api.hub.PING_INTERVAL_S", 0.001)
    hub = Hub(viewers_max=1)
    frames = hub.frames(hub.join(TOPICS, ALL), lambda: b"ping")
    assert await anext(frames) == b"ping"
    await frames.aclose()  # type: ignore[attr-defined]
