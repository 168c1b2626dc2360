"""What every test may use."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Iterator

import hypothesis
import pytest
import uvloop

from tests.support.database import engine, made_on, passing
from tests.support.postgres import PostgresCluster, postgres, postgres_url

__all__ = ["engine", "postgres", "postgres_url"]  # fixtures that any test may ask for

_crashed: list[str] = []

# Speed is measured by tests/bench; on a busy machine an example takes its time.
hypothesis.settings.register_profile("relay", deadline=None)
hypothesis.settings.load_profile("relay")

# A shell starts what it runs in the background with SIGINT ignored, and every process started from there inherits
# that: without this, a command that a test interrupts would go on for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="what tests that choose no database themselves have theirs on",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL what is about SQLite alone is skipped."""
    if config.getoption("engine") == "sqlite":
        return
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.get("engine") == "sqlite":
            item.add_marker(pytest.mark.skip(reason="is told on SQLite without --engine"))
        elif (mark := item.get_closest_marker("sqlite_only")) is not None:
            (reason,) = mark.args
            item.add_marker(pytest.mark.skip(reason=f"SQLite's own: {reason}"))


@pytest.fixture(scope="session", autouse=True)
def chosen_engine(request: pytest.FixtureRequest) -> Iterator[PostgresCluster | None]:
    """Where tests that choose no database themselves have theirs; None: in files."""
    if request.config.getoption("engine") == "sqlite":
        yield None
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    with made_on(cluster):
        yield cluster


@pytest.fixture(autouse=True)
def databases_pass(request: pytest.FixtureRequest, chosen_engine: PostgresCluster | None) -> Iterator[None]:
    """What databases a test makes on the server are gone after it."""
    if chosen_engine is None and "postgres" not in request.fixturenames:
        yield
        return
    with passing(request.getfixturevalue("postgres")):
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str) -> None:
    """A worker died, with tests that it hadn't begun."""
    _crashed.append(crashitem)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Then the whole run is broken off: to ask what has failed once more would leave those out."""
    if _crashed:
        session.exitstatus = pytest.ExitCode.INTERRUPTED


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests on a uvloop of their own, as the node runs."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    uvloop.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
