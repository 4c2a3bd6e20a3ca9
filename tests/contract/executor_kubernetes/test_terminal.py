"""A person's shell beside the script of a job, on real containers."""

from __future__ import annotations

import anyio
import pytest

from podlane.executors.base import Environment, HasTerminal
from podlane.model.outcome import SUCCESS
from tests.contract.executor_kubernetes.conftest import (
    LEGACY,
    Cluster,
    Meanwhile,
    make_plan,
    run_and,
)

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]
BOTH = pytest.mark.parametrize("flags", [(), (LEGACY,)], ids=["attach", "exec"])
SCRIPT = 'mkdir -p "$CI_PROJECT_DIR"; echo begun; until [ -e /builds/go ]; do sleep 0.1; done'


@BOTH
async def test_what_is_typed_in_the_terminal_reaches_the_job(
    cluster: Cluster, flags: tuple[tuple[str, bool], ...]
) -> None:
    seen = b""

    async def type_there(environment: Environment, job: Meanwhile) -> None:
        nonlocal seen
        await job.until_printed(b"begun")
        assert isinstance(environment, HasTerminal)
        async with environment.terminal() as terminal:
            await terminal.write_stdin(b"tty; echo 4$((1+1)); touch /builds/go; exit\n")
            async for _, data in terminal.output():
                seen += data

    async with cluster.executor() as executor:
        with anyio.fail_after(60):
            ran = await run_and(executor, make_plan(SCRIPT, flags=flags), type_there)
    assert ran.outcome == SUCCESS
    assert b"/dev/pts/" in seen
    assert b"\n42" in seen
    assert "/dev/pts/" not in ran.text
