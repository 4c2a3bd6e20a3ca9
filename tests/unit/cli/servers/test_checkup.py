from __future__ import annotations

from podlane.cli.servers.checkup import Verdict, judge_permissions
from podlane.executors.kubernetes.permissions import PERMISSIONS

OPTIONAL = [one for one in PERMISSIONS if one.optional]
NEEDED = [one for one in PERMISSIONS if not one.optional]


def test_all_rights_are_fine() -> None:
    assert judge_permissions([], "ci").verdict is Verdict.OK


def test_a_right_that_jobs_can_do_without_is_a_warning_that_says_what_for() -> None:
    check = judge_permissions(OPTIONAL[-1:], "ci")
    assert check.verdict is Verdict.WARNING
    assert check.detail == "not allowed in namespace ci: list events (why a pod did not start)"


def test_a_right_that_jobs_need_is_missing_and_the_others_are_not_told() -> None:
    check = judge_permissions([*OPTIONAL, NEEDED[0]], "ci")
    assert check.verdict is Verdict.MISSING
    assert check.detail == "not allowed in namespace ci: create pods (the job's pod)"
