"""What every test may use."""

from __future__ import annotations

import inspect
import signal

import pytest
import uvloop

from tests.support.database import engine
from tests.support.postgres import postgres, postgres_url

__all__ = ["engine", "postgres", "postgres_url"]  # fixtures that any test may ask for

# A shell starts what it runs in the background with SIGINT ignored, and every process started from there inherits
# that: without this, a command that a test interrupts would go on for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests on a uvloop of their own, as the node runs."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    uvloop.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
