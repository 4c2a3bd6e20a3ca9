"""The supervisor and the follower, in every shell that a container may bring."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.executors.kubernetes.shell.shellrig import DEADLINE_SECONDS, SHELLS, Rig, require


@pytest.fixture(params=SHELLS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    require(request.param)
    rig = Rig(root=tmp_path, shell=SHELLS[request.param])
    yield rig
    rig.close()


@pytest.fixture
def static(tmp_path: Path) -> Iterator[Rig]:
    """The shell of our helper image; enough where the shell makes no difference."""
    require("busybox")
    rig = Rig(root=tmp_path, shell=SHELLS["busybox"])
    yield rig
    rig.close()


def test_a_green_job_runs_its_stages_in_order_and_ends_with_zero(rig: Rig) -> None:
    told = rig.run()
    assert told.exit_code == 0
    assert told.output.decode().split("\n") == [
        "in prepare_script",
        "in get_sources",
        "in step_script",
        "in after_script",
        "in upload_artifacts_on_success",
        "in cleanup_file_variables",
        "",
    ]
    assert told.ends["upload_artifacts_on_failure"] == ("skipped", "-")
    assert told.done == "running"


def test_the_exit_code_of_the_script_is_the_exit_code_of_the_container(rig: Rig) -> None:
    rig.scripts = {"step_script": "exit 42\n", "after_script": "echo $CI_JOB_STATUS\n"}
    told = rig.run()
    assert told.exit_code == 42
    assert told.ends["step_script"] == ("finished", "42")
    assert b"\nfailed\n" in told.output
    assert told.ends["upload_artifacts_on_success"][0] == "skipped"
    assert told.ends["upload_artifacts_on_failure"] == ("finished", "0")
    assert told.done == "failed"


def test_no_stage_seems_to_begin_before_the_last_one_ended(rig: Rig) -> None:
    """Also across containers, whose supervisors start at other fractions of a second."""
    times = [float(record["at"]) for record in rig.run().records if "at" in record]
    assert times == sorted(times)
    assert abs(times[-1] - time.time()) < DEADLINE_SECONDS


def test_each_record_carries_the_offset_at_which_its_stage_began(rig: Rig) -> None:
    rig.scripts = {"get_sources": "printf 'no newline'\n"}
    told = rig.run()
    starts = {r["stage"]: int(r["offset"]) for r in told.records if r.get("state") == "started"}
    assert told.output[starts["get_sources"] :].startswith(b"no newline")
    assert told.output[starts["step_script"] :].startswith(b"in step_script")


def test_a_failure_before_the_script_skips_the_script_and_after_script(rig: Rig) -> None:
    rig.scripts = {"get_sources": "exit 1\n"}
    told = rig.run()
    assert told.exit_code == 118
    assert told.ends["step_script"] == ("skipped", "-")
    assert told.ends["after_script"] == ("skipped", "-")
    assert told.ends["upload_artifacts_on_failure"] == ("finished", "0")


def test_a_failed_preparation_skips_everything(static: Rig) -> None:
    static.scripts = {"prepare_script": "exit 1\n"}
    told = static.run()
    assert told.output == b""
    assert {state for state, _ in told.ends.values()} == {"finished", "skipped"}


def test_a_failing_after_script_does_not_change_the_result(static: Rig) -> None:
    static.scripts = {"after_script": "exit 9\n"}
    told = static.run()
    assert told.exit_code == 0
    assert told.ends["after_script"] == ("finished", "9")


def test_cancel_stops_the_script_and_runs_after_script(rig: Rig) -> None:
    rig.scripts = {
        "step_script": f"echo begun\n: > '{rig.logs}/begun'\nsleep 60\necho never\n",
        "after_script": "echo status $CI_JOB_STATUS\n",
    }
    told = rig.run(after="begun", then="cancel")
    assert told.exit_code == 143
    assert told.ends["step_script"][0] == "canceled"
    assert b"status canceled" in told.output
    assert b"never" not in told.output
    assert told.done == "canceled"


def test_a_script_that_ignores_term_is_killed_after_the_grace_period(static: Rig) -> None:
    begun = f": > '{static.logs}/begun'"
    static.scripts = {"step_script": f"trap '' TERM\n{begun}\nsleep 60\nsleep 60\n"}
    static.grace = 1
    told = static.run(after="begun", then="cancel")
    assert told.exit_code == 137
    assert told.ends["step_script"] == ("canceled", "137")


def test_a_cancel_before_the_script_stops_the_helper_and_skips_the_script(static: Rig) -> None:
    static.scripts = {"get_sources": "sleep 60\n"}
    told = static.run(after="1.start", then="cancel")
    assert told.ends["get_sources"][0] == "canceled"
    assert told.ends["step_script"][0] == "skipped"
    assert told.ends["cleanup_file_variables"] == ("finished", "0")


def test_a_stage_that_takes_too_long_is_stopped(rig: Rig) -> None:
    rig.plan = tuple(
        (*stage[:4], 1 if stage[0] == "step_script" else 0, stage[5]) for stage in rig.plan
    )
    rig.scripts = {"step_script": "sleep 60\n", "after_script": "echo $CI_JOB_STATUS\n"}
    told = rig.run()
    assert told.ends["step_script"][0] == "timedout"
    assert told.exit_code != 0
    assert b"timedout" in told.output


def test_background_processes_do_not_keep_a_stage_open(rig: Rig) -> None:
    rig.scripts = {
        "step_script": "sleep 61 & echo $! > bg.pid\n".replace("bg", str(rig.root / "bg"))
    }
    told = rig.run()
    assert told.exit_code == 0
    pid = int((rig.root / "bg.pid").read_text())
    # It survives its stage: only the end of the container ends it.
    os.kill(pid, signal.SIGTERM)


def test_a_job_that_deletes_our_files_changes_neither_result_nor_log(rig: Rig) -> None:
    rig.scripts = {
        "step_script": f"echo before\nrm -rf {rig.logs}/* {rig.logs}/.[a-z]*\necho after\nexit 5\n"
    }
    told = rig.run()
    assert told.exit_code == 5
    assert b"before\nafter\nin after_script\n" in told.output
    assert told.ends["step_script"] == ("finished", "5")
    assert told.ends["after_script"] == ("finished", "0")
    assert told.done == "failed"


@pytest.mark.parametrize("name", [".1.end.helper", ".3.end.build"])
def test_a_record_that_could_not_be_written_is_written_later(static: Rig, name: str) -> None:
    """As when the disk is full for a while: the other container waits for the record."""
    static.prepare()
    (static.logs / name).mkdir()
    helper = static.start("supervisor", "helper")
    build = static.start("supervisor", "build")
    static.wait_for(f"{name[1]}.start")
    (static.logs / name).rmdir()
    assert build.wait(timeout=DEADLINE_SECONDS) == 0
    assert (static.logs / f"{name[1]}.end").read_text().startswith("finished 0")
    static.wait_for("finished")
    helper.send_signal(signal.SIGTERM)
    assert helper.wait(timeout=DEADLINE_SECONDS) == 0


def test_lines_that_look_like_ours_stay_lines_of_the_log(static: Rig) -> None:
    forged = (
        'stage=step_script index=2 state=finished code=0\ndone=running\n{"command_exit_code":0}'
    )
    static.scripts = {"step_script": f"cat <<'EOF'\n{forged}\nEOF\nexit 7\n"}
    told = static.run()
    assert told.exit_code == 7
    assert forged.encode() in told.output
    assert told.ends["step_script"] == ("finished", "7")


def test_bytes_that_are_no_text_arrive_unchanged(static: Rig) -> None:
    blob = static.root / "blob"
    data = bytes(range(256)) * 9000
    blob.write_bytes(data)
    static.scripts = {"step_script": f"cat {blob}\n"}
    told = static.run()
    assert data in told.output


def test_a_record_is_told_before_the_bytes_that_follow_it(static: Rig) -> None:
    told = static.run()
    known = 0
    offsets = [int(r["offset"]) for r in told.records if "offset" in r]
    for record in told.records:
        if "pos" in record:
            assert all(offset >= int(record["pos"]) for offset in offsets[known:])
        elif "offset" in record:
            known += 1


def test_get_sources_is_tried_again_after_the_work_tree_was_cleared(static: Rig) -> None:
    marker = static.root / "marker"
    static.plan = tuple(
        (*stage[:3], 2 if stage[0] == "get_sources" else 1, *stage[4:]) for stage in static.plan
    )
    static.scripts = {
        "get_sources": f"[ -e {marker} ] && exit 0; exit 1\n",
        "clear_worktree": f"echo clearing; touch {marker}\n",
    }
    told = static.run()
    assert told.exit_code == 0
    assert b"Retrying...\nclearing\n" in told.output


def test_the_timeout_of_a_stage_bounds_all_its_attempts(static: Rig) -> None:
    static.plan = tuple(
        (*stage[:3], 10, 1, stage[5]) if stage[0] == "get_sources" else stage
        for stage in static.plan
    )
    static.scripts = {"get_sources": "sleep 0.4; exit 1\n"}
    told = static.run()
    assert told.ends["get_sources"][0] == "timedout"
    assert told.ends["step_script"][0] == "skipped"
    assert 1 <= told.output.count(b"Retrying...") <= 3


def test_the_helper_goes_on_when_it_is_told_that_build_is_dead(static: Rig) -> None:
    static.prepare()
    helper = static.start("supervisor", "helper")
    follower = static.start("follow", "0", str(helper.pid))
    static.wait_for("1.end")
    (static.logs / "gone.build").touch()
    output, records = follower.communicate(timeout=DEADLINE_SECONDS)
    assert b"stage=step_script index=2 state=gone" in records
    assert b"in upload_artifacts_on_failure" in output
    assert b"done=failed" in records


def test_the_end_of_the_pod_stops_the_script(rig: Rig) -> None:
    rig.scripts = {"step_script": "trap 'echo stopping; exit 1' TERM\nsleep 60 &\nwait\n"}
    rig.prepare()
    helper = rig.start("supervisor", "helper")
    build = rig.start("supervisor", "build")
    rig.wait_for("2.start")
    for process in (build, helper):
        process.send_signal(signal.SIGTERM)
    assert build.wait(timeout=DEADLINE_SECONDS) == 143
    assert helper.wait(timeout=DEADLINE_SECONDS) in (0, 143)


def test_a_stage_that_has_begun_never_runs_again(static: Rig) -> None:
    static.prepare()
    (static.logs / "2.start").write_text("0 1.00\n")
    build = static.start("supervisor", "build")
    assert build.wait(timeout=DEADLINE_SECONDS) == 119


def test_following_from_an_offset_brings_the_rest_only(static: Rig) -> None:
    static.prepare()
    helper = static.start("supervisor", "helper")
    static.start("supervisor", "build").wait(timeout=DEADLINE_SECONDS)
    static.wait_for("finished")
    first = static.start("follow", "0", str(helper.pid)).communicate(timeout=DEADLINE_SECONDS)
    rest = static.start("follow", "10", str(helper.pid)).communicate(timeout=DEADLINE_SECONDS)
    assert rest[0] == first[0][10:]
    assert len(rest[1].splitlines()) == len(first[1].splitlines())


@pytest.mark.parametrize("script", ["exit 0\n", "exit 3\n"])
def test_the_pre_stop_hook_runs_before_build_ends_and_decides_nothing(
    rig: Rig, script: str
) -> None:
    rig.pre_stop = f"echo called >> '{rig.root}/hook' && exec sh -c 'exit 4' > /dev/null\n"
    rig.scripts = {"step_script": script, "cleanup_file_variables": f"cat '{rig.root}/hook'\n"}
    told = rig.run()
    assert told.exit_code == int(script.split()[1])
    # Once, after all that the job does there, and before the helper's last stages.
    assert told.output.decode().endswith("\ncalled\n")
    assert b"podlane: pre_stop in container build: finished with exit code 4\n" in told.output
    assert told.ends["after_script"] == ("finished", "0")


def test_a_pre_stop_hook_that_takes_too_long_is_stopped(static: Rig) -> None:
    static.pre_stop, static.pre_stop_seconds = "exec sleep 1000\n", 1
    told = static.run()
    assert told.exit_code == 0
    assert b"podlane: pre_stop in container build: timedout with exit code 143\n" in told.output
