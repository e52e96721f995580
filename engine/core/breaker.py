"""A circuit breaker: a dependency that is down for everybody is not asked by everybody.

It opens when `keys` different keys have begun to fail with no success of anybody between. A key that was failing before
says nothing: it would fail again, whatever the others do. While it is open one probe at a time runs: of a key that was
not failing, or of another only if none such came for `open_s`. So a key that fails for ever neither opens it again and
again nor takes the turns of those that could close it. A probe's failure doubles the wait, any success closes it.

Source: Michael T. Nygard, "Release It!", 2007 (the circuit breaker).
"""

from collections.abc import Hashable


class Breaker:
    """Ask `admit` before a call, then say how it ended: `succeeded`, `failed`, or `abandoned`.

    At most `keys` keys are remembered.
    """

    def __init__(self, *, keys: int, open_s: float, open_max_s: float) -> None:
        assert keys >= 1
        assert 0 < open_s <= open_max_s
        self._keys = keys
        self._open_s = open_s
        self._open_max_s = open_max_s
        self._failed: set[Hashable] = set()
        self._wait_s = 0.0
        """How long it waits before a probe; 0 while it is closed."""
        self._until_s = 0.0
        self._probe: Hashable = None
        self._probing = False
        self.calm = True
        """Nobody has begun to fail since the last success: another one changes nothing."""

    @property
    def is_open(self) -> bool:
        return self._wait_s > 0

    def admit(self, key: Hashable, now_s: float, *, failing: bool) -> float:
        """0.0: go on; else the seconds after which to ask again. `failing`: the key's last call failed."""
        if not self.is_open or (self._probing and key == self._probe):
            return 0.0
        if self._probing:
            return self._open_s
        due_s = self._until_s + self._open_s if failing else self._until_s
        if now_s < due_s:
            return due_s - now_s
        self._probe, self._probing = key, True
        return 0.0

    def succeeded(self) -> None:
        """A call of anybody succeeded: the dependency is there."""
        self.calm = True
        self._failed.clear()
        self._wait_s = 0.0
        self._probe, self._probing = None, False

    def failed(self, key: Hashable, now_s: float, *, failing: bool) -> None:
        """A call failed; `failing`: so did the key's call before.

        While it is open only the probe's answer is news: other calls began before it opened.
        """
        self.calm = False
        if self.is_open:
            if self._probing and key == self._probe:
                self._open_for(min(2 * self._wait_s, self._open_max_s), now_s)
        elif not failing:
            self._failed.add(key)
            if len(self._failed) >= self._keys:
                self._open_for(self._open_s, now_s)

    def abandoned(self, key: Hashable) -> None:
        """The call ended without an answer (cancelled): if it was the probe, another may go at once."""
        if self._probing and key == self._probe:
            self._probe, self._probing = None, False

    def _open_for(self, wait_s: float, now_s: float) -> None:
        self._failed.clear()
        self._wait_s = wait_s
        self._until_s = now_s + wait_s
        self._probe, self._probing = None, False
