"""Runs a test on asyncio's own loop and on uvloop (the server's), and sees that it leaves no task behind."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A decorator for an async test, to stand below its parametrize marks."""

    @functools.wraps(test)
    def run_on(loop_runner: Callable[[Coroutine[Any, Any, None]], None], **arguments: Any) -> None:
        loop_runner(_leaving_nothing(test(**arguments)))

    signature = inspect.signature(test)
    first = inspect.Parameter("loop_runner", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run_on.__signature__ = signature.replace(parameters=[first, *signature.parameters.values()])  # type: ignore[attr-defined]
    return pytest.mark.parametrize("loop_runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])(run_on)


async def _leaving_nothing(test: Coroutine[Any, Any, None]) -> None:
    await test
    deadline = asyncio.get_running_loop().time() + 60
    while len(asyncio.all_tasks()) > 1 and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.001)  # Servers of the test may need a turn to end.
    assert asyncio.all_tasks() == {asyncio.current_task()}
