"""What all tests share: the event loop, a watch on blocking calls, a loud list of skips."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster


@pytest.fixture
def anyio_backend() -> str:
    """asyncio is what we run on; a module that wants Trio's virtual time says so itself."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an asynchronous unit test in which our own code blocks the event loop."""
    if request.node.get_closest_marker("anyio") is None or "unit" not in request.node.path.parts:
        yield
        return
    watch = BlockBuster(scanned_modules="podlane")
    watch.activate()
    try:
        yield
    finally:
        watch.deactivate()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud which tests did not run, and why: a silent skip looks like a pass."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("NOT RUN", sep="!", red=True, bold=True)
    terminalreporter.write_line(
        f"{len(skipped)} tests did not run on this machine; the reasons are above."
    )
