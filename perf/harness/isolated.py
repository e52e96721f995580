"""A sample in a process of its own: no measurement colours the next one, and its processor time is its own."""

import asyncio
import gc
import importlib
import multiprocessing
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import uvloop

from perf.harness.checks import CheckFailed

GC_THRESHOLDS = (50_000, 50, 50)
"""As the worker of `billing` sets them."""


def isolated(function: Callable[..., Awaitable[Any]], **arguments: object) -> Any:
    """What `function`, a coroutine function of a module, returns or raises in a fresh process under uvloop.

    Arguments and answer are pickled. A `CheckFailed` within groups of errors comes out by itself.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(_run, function.__module__, function.__qualname__, arguments).result()


async def beside(function: Callable[..., Awaitable[Any]], **arguments: object) -> Any:
    """As `isolated`, while this loop goes on: for several processes at once."""
    return await asyncio.to_thread(isolated, function, **arguments)


@asynccontextmanager
async def standing_by(
    *functions: Callable[..., Awaitable[Any]],
) -> AsyncIterator[list[Callable[..., Coroutine[Any, Any, Any]]]]:
    """As `beside`, with processes that are up when the block begins: what is asked of them begins at once.

    Yields what calls each of the functions, once, with arguments by name.
    """
    context = multiprocessing.get_context("spawn")
    async with AsyncExitStack() as stack:
        processes = [ProcessPoolExecutor(1, mp_context=context) for _ in functions]
        for process in processes:
            stack.push_async_callback(asyncio.to_thread, process.shutdown)
        ready = [process.submit(_load, each.__module__) for process, each in zip(processes, functions, strict=True)]
        await asyncio.gather(*map(asyncio.wrap_future, ready))
        yield [partial(_ask, process, each) for process, each in zip(processes, functions, strict=True)]


async def _ask(process: ProcessPoolExecutor, function: Callable[..., Awaitable[Any]], **arguments: object) -> Any:
    return await asyncio.wrap_future(process.submit(_run, function.__module__, function.__qualname__, arguments))


def _load(module: str) -> None:
    importlib.import_module(module)


def _run(module: str, name: str, arguments: dict[str, object]) -> Any:
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        return uvloop.run(function(**arguments))
    except BaseExceptionGroup as group:
        raise _refusal_in(group) or group from None


def _refusal_in(error: BaseException) -> CheckFailed | None:
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_refusal_in, error.exceptions)), None)
    return error if isinstance(error, CheckFailed) else None
