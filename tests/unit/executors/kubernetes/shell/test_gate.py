"""A script that waits until the services have begun: their pod may have to be made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.executors.kubernetes.shell.shellrig import SHELLS, Rig, require


@pytest.fixture(params=SHELLS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    require(request.param)
    rig = Rig(root=tmp_path, shell=SHELLS[request.param], gated=True)
    yield rig
    rig.close()


def test_the_script_begins_when_the_word_is_there(rig: Rig) -> None:
    rig.scripts = {"step_script": f"[ -e {rig.logs}/services ] && echo after the word\n"}
    told = rig.run(after="1.end", then="services")
    assert told.exit_code == 0
    assert b"after the word\n" in told.output


def test_a_cancel_ends_the_wait_and_the_script_never_begins(rig: Rig) -> None:
    told = rig.run(after="1.end", then="cancel")
    assert told.ends["step_script"][0] == "skipped"
    assert b"in step_script" not in told.output


def test_a_job_whose_sources_failed_waits_for_nothing(rig: Rig) -> None:
    rig.scripts = {"get_sources": "exit 1\n"}
    told = rig.run()
    assert told.ends["step_script"][0] == "skipped"
    assert told.done == "failed"
