"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(condition: Callable[[], Awaitable[T]], *, timeout: float = ..., every: float = ...) -> T: ...
@overload
async def eventually(condition: Callable[[], T], *, timeout: float = ..., every: float = ...) -> T: ...
async def eventually(condition: Callable[[], T | Awaitable[T]], *, timeout: float = 20.0, every: float = 0.02) -> T:
    """The first truthy value of ``condition()`` (which may be a coroutine function), within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {inspect.getsource(condition).strip()}"
        await asyncio.sleep(every)


def wait_until(condition: Callable[[], T], *, timeout: float = 20.0, every: float = 0.02) -> T:
    """The same for code without a loop: processes, files."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {inspect.getsource(condition).strip()}"
        time.sleep(every)
