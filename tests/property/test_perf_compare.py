"""Comparing has no side: what is slower one way is faster the other way, and nothing is slower than itself."""

from hypothesis import given
from hypothesis import strategies as st

from perf.harness.compare import verdict

FIGURES = st.sampled_from(["events_per_s", "worker_us", "p99_ms", "cell_bytes"])
ROUNDS = st.lists(st.floats(min_value=0.001, max_value=1e9), min_size=2, max_size=7)
OPPOSITE = {"same": "same", "faster": "SLOWER", "SLOWER": "faster"}


@given(FIGURES, ROUNDS, ROUNDS)
def test_what_is_slower_one_way_is_not_slower_the_other_way(figure: str, old: list[float], new: list[float]) -> None:
    there, back = verdict(figure, old, new), verdict(figure, new, old)
    assert back in {OPPOSITE[there], "same"} if there != "same" else back in {"same", "faster", "SLOWER"}


@given(FIGURES, ROUNDS)
def test_nothing_is_slower_than_itself(figure: str, rounds: list[float]) -> None:
    assert verdict(figure, rounds, rounds) == "same"


@given(FIGURES, ROUNDS, st.floats(min_value=0.001, max_value=0.9))
def test_all_rounds_beyond_all_others_are_a_change(figure: str, old: list[float], share: float) -> None:
    below = [min(old) * share for _ in old]
    assert verdict(figure, old, below) == ("SLOWER" if figure == "events_per_s" else "faster")


@given(FIGURES, ROUNDS, ROUNDS)
def test_the_order_of_the_rounds_does_not_matter(figure: str, old: list[float], new: list[float]) -> None:
    assert verdict(figure, old, new) == verdict(figure, old[::-1], sorted(new))
