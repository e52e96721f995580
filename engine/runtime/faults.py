"""Faults that nobody can raise where they happen, in a callback of the event loop: the engine ends with the first."""

import anyio


class Faults:
    """`run` it in the engine's task group."""

    def __init__(self) -> None:
        self._first: BaseException | None = None
        self._told = anyio.Event()

    def tell(self, error: BaseException) -> None:
        """From anywhere in the same loop."""
        self._first = self._first or error
        self._told.set()

    async def run(self) -> None:
        """Raises the first one."""
        await self._told.wait()
        assert self._first is not None
        raise self._first
