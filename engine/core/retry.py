"""When a failed event is tried again: exponential back-off with full jitter.

Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (the "full jitter" variant).
"""


def retry_delay_s(attempt: int, *, base_s: float, cap_s: float, chance: float) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1); `chance` is uniform in [0, 1)."""
    assert attempt >= 1
    assert 0.0 <= chance < 1.0
    return chance * min(cap_s, base_s * 2.0 ** min(attempt - 1, 60))
