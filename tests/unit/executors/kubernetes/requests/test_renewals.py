"""Text is made anew for as long as the job runs, whatever an attempt ends like."""

from __future__ import annotations

import anyio
import pytest

from podlane.executors.base import Renewal
from podlane.executors.kubernetes.requests.renewals import keep_fresh
from podlane.kit.errors import TemporaryError
from tests.fakes.virtual_time import Backend, virtual_time


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_time()


class Driver:
    def __init__(self) -> None:
        self.left: list[tuple[str, str]] = []
        self.second = anyio.Event()

    async def leave(self, path: str, text: str) -> None:
        self.left.append((path, text))
        if len(self.left) > 1:
            self.second.set()


@pytest.mark.anyio
async def test_a_failed_attempt_is_followed_by_the_next() -> None:
    made = iter(["one", "", "three"])

    def make() -> str:
        if found := next(made):
            return found
        raise TemporaryError("no answer")

    driver = Driver()
    async with anyio.create_task_group() as tasks:
        renewal = Renewal(path="/p", every_seconds=100, make=make)
        tasks.start_soon(keep_fresh, driver, renewal)
        await driver.second.wait()
        tasks.cancel_scope.cancel()
    assert driver.left == [("/p", "one"), ("/p", "three")]
