from __future__ import annotations

import json

import msgspec

from podlane.cli.run.summary import document, lines
from podlane.coordinator.events import ChildResult, JobResult
from tests.unit.cli.terminal import stream

GREEN = JobResult(
    name="root", stage="one", status="success", failure_reason=None, exit_code=0,
    duration_seconds=1.23456, image="alpine", trace="ok\n",
)  # fmt: skip
RED = JobResult(
    name="bad", stage="two", status="failed", failure_reason="script_failure", exit_code=3,
    duration_seconds=75, image="debian", trace="".join(f"line {n}\n" for n in range(20)),
)  # fmt: skip
UNSTARTED = JobResult(
    name="later", stage="three", status="skipped", failure_reason=None, exit_code=None,
    duration_seconds=0, image="", trace="",
)  # fmt: skip


def test_the_document_has_the_promised_shape() -> None:
    shown = document("failed", 76.5, [GREEN, UNSTARTED])
    assert json.loads(json.dumps(shown)) == {
        "pipeline": {"status": "failed", "duration_seconds": 76.5},
        "jobs": [
            {
                "name": "root",
                "stage": "one",
                "status": "success",
                "failure_reason": None,
                "exit_code": 0,
                "duration_seconds": 1.235,
                "image": "alpine",
                "trace": "ok\n",
            },
            {
                "name": "later",
                "stage": "three",
                "status": "skipped",
                "failure_reason": None,
                "exit_code": None,
                "duration_seconds": 0,
                "image": "",
                "trace": "",
            },
        ],
    }


def test_the_table_lists_every_job() -> None:
    out, _ = stream(terminal=False)
    assert lines(out, "success", 2, [GREEN, UNSTARTED]) == [
        "",
        "JOB    STAGE  STATUS   DURATION  IMAGE",
        "root   one    success  1.2 s     alpine",
        "later  three  skipped",
        "",
        "pipeline success in 2.0 s",
    ]


def test_a_failure_is_shown_with_its_reason_and_last_lines() -> None:
    out, _ = stream(terminal=False)
    shown = lines(out, "failed", 80, [RED])
    assert shown[1] == "job bad failed: script_failure, exit code 3; its last lines:"
    assert shown[2:12] == [f"  line {n}" for n in range(10, 20)]


def test_coverage_is_shown_where_a_job_has_some() -> None:
    out, _ = stream(terminal=False)
    covered = msgspec.structs.replace(GREEN, coverage=98.29)
    assert lines(out, "success", 2, [covered, UNSTARTED])[1:4] == [
        "JOB    STAGE  STATUS   DURATION  COVERAGE  IMAGE",
        "root   one    success  1.2 s     98.29 %   alpine",
        "later  three  skipped",
    ]
    jobs = json.loads(json.dumps(document("success", 2, [covered, UNSTARTED])))["jobs"]
    assert [job.get("coverage") for job in jobs] == [98.29, None]


def _family(*, counts: bool, child: str, bridge: str) -> list[JobResult]:
    go = msgspec.structs.replace(
        UNSTARTED, name="go", status=bridge, bridge=True,
        child=ChildResult(pipeline_id=2, status=child, duration_seconds=2.5, counts=counts),
    )  # fmt: skip
    return [go, msgspec.structs.replace(RED, path=("go",)), UNSTARTED]


def test_the_document_has_a_child_in_its_bridge() -> None:
    jobs = document("failed", 1, _family(counts=True, child="failed", bridge="failed"))["jobs"]
    shown = json.loads(json.dumps(jobs))
    assert [job["name"] for job in shown] == ["go", "later"]
    assert shown[0]["child"]["pipeline"] == {"status": "failed", "duration_seconds": 2.5}
    assert [job["name"] for job in shown[0]["child"]["jobs"]] == ["bad"]
    assert "child" not in shown[1]


def test_the_table_names_the_jobs_of_a_child_behind_its_bridge() -> None:
    out, _ = stream(terminal=False)
    shown = lines(out, "failed", 1, _family(counts=True, child="failed", bridge="failed"))
    assert "trigger job go failed: its child pipeline ended failed" in shown
    assert "job go > bad failed: script_failure, exit code 3; its last lines:" in shown
    assert any(line.startswith("go > bad") for line in shown)
    assert any(line.endswith("child pipeline: failed") for line in shown)
    assert not any("counts for its trigger job only" in line for line in shown)


def test_a_failure_that_does_not_count_is_told() -> None:
    out, _ = stream(terminal=False)
    shown = lines(out, "success", 1, _family(counts=False, child="failed", bridge="success"))
    assert shown[-2] == (
        "the child pipeline of go ended failed, which counts for its trigger job only with "
        "`strategy: depend` or `mirror`"
    )


def test_a_pipeline_that_waits_for_a_person_says_for_what() -> None:
    out, _ = stream(terminal=False)
    asked = msgspec.structs.replace(UNSTARTED, name="approve", status="manual", path=("go",))
    shown = lines(out, "manual", 1, [GREEN, asked])
    assert shown[-2] == (
        "it waits for a person to start: go > approve (podlane run --play starts jobs)"
    )
