"""What an operator has paused: the topic, some partitions, some keys. Known to the process, so a rebalance keeps it."""

from collections.abc import Callable

PAUSED = "paused by command"


class Holds:
    """Nothing of what is held is handed out; what runs already ends. `released` is told when something may go on."""

    def __init__(self, released: Callable[[], None]) -> None:
        self.topic = False
        self.partitions: set[int] = set()
        self.keys: set[bytes] = set()
        self.any = False
        """Whether anything is held: asked for every event."""
        self._released = released

    def holds_partition(self, partition: int) -> bool:
        return self.topic or partition in self.partitions

    def holds(self, partition: int, key: bytes) -> bool:
        return self.topic or partition in self.partitions or key in self.keys

    def pause(self, partition: int | None = None, key: bytes | None = None) -> None:
        """A partition, a key on whatever partition, or without both the whole topic. Raises ValueError: both."""
        if partition is not None and key is not None:
            raise ValueError("give a partition or a key, not both: a key is paused on whatever partition it is")
        if partition is None and key is None:
            self.topic = True
        if partition is not None:
            self.partitions.add(partition)
        if key is not None:
            self.keys.add(key)
        self.any = True

    def resume(self, partition: int | None = None, key: bytes | None = None) -> None:
        """Takes back what `pause` did with the same arguments. Raises ValueError: both."""
        if partition is not None and key is not None:
            raise ValueError("give a partition or a key, not both")
        if partition is None and key is None:
            self.topic = False
        if partition is not None:
            self.partitions.discard(partition)
        if key is not None:
            self.keys.discard(key)
        self.any = self.topic or bool(self.partitions) or bool(self.keys)
        self._released()
