"""How much of a partition may be in flight: read and not done. With hysteresis, so that fetches stay large."""

TRICKLE = 8
"""A fetch may ask for this part of a limit, however little of it is left: one fetch serves all partitions, and one that
is nearly full would make the others trickle."""


class InFlight:
    """Counts events and bytes against their limits.

    Full at a limit; open again only once both have fallen to half of it: a fetch that trickles costs more than one that
    waits. A single event larger than the byte limit still passes when nothing else is in flight.
    """

    def __init__(self, events_max: int, bytes_max: int) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self.events = 0
        self.payload_bytes = 0
        self._full = False

    def add(self, events: int, payload_bytes: int) -> None:
        self.events += events
        self.payload_bytes += payload_bytes
        if self.events >= self._events_max or self.payload_bytes >= self._bytes_max:
            self._full = True

    def remove(self, events: int, payload_bytes: int) -> bool:
        """Returns True if this opened it again."""
        self.events -= events
        self.payload_bytes -= payload_bytes
        assert self.events >= 0
        assert self.payload_bytes >= 0
        opens = self._full and self.events <= self._events_max // 2 and self.payload_bytes <= self._bytes_max // 2
        if opens:
            self._full = False
        return opens

    @property
    def full(self) -> bool:
        return self._full

    def room(self) -> int:
        """How many events may still be read: at least a part of the limit."""
        return 0 if self._full else max(self._events_max // TRICKLE, self._events_max - self.events, 1)

    def room_bytes(self) -> int:
        """How many bytes may still be read: at least a part of the limit."""
        return 0 if self._full else max(self._bytes_max // TRICKLE, self._bytes_max - self.payload_bytes, 1)
