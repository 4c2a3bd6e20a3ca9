from __future__ import annotations

from typing import Any

from podlane.cli.servers.checkup import Verdict, judge_permissions, namespace_of
from podlane.executors.kubernetes.permissions import PERMISSIONS, needed
from tests.unit.executors.kubernetes.samples import settings

OPTIONAL = [one for one in PERMISSIONS if one.optional]
NEEDED = [one for one in PERMISSIONS if not one.optional]


def test_all_rights_are_fine() -> None:
    assert judge_permissions([], "ci").verdict is Verdict.OK
    assert judge_permissions([], "", 17).detail == "all 17 granted in all namespaces"


def asked_for(**table: Any) -> set[tuple[str, str]]:
    """What the settings need beyond what all do."""
    return {(one.verb, one.resource) for one in needed(settings(**table)) if one.setting}


def test_settings_that_need_more_rights_ask_for_them_and_for_no_others() -> None:
    assert needed(settings()) == PERMISSIONS
    assert asked_for(pod_disruption_budget=True) == {("create", "poddisruptionbudgets")}
    checks = {"resource_availability_check_max_attempts": 3}
    assert asked_for(**checks, service_account="b") == {("get", "serviceaccounts")}
    assert asked_for(**checks, image_pull_secrets=["one"]) == set()
    verbs = {verb for verb, resource in asked_for(namespace_per_job=True)}
    assert verbs == {"create", "delete", "get", "list"}


def test_a_right_names_the_setting_that_needs_it() -> None:
    (right,) = (one for one in needed(settings(pod_disruption_budget=True)) if one.setting)
    check = judge_permissions([right], "")
    assert check.verdict is Verdict.MISSING
    assert check.detail == (
        "not allowed in all namespaces: create poddisruptionbudgets "
        "(the budget of each pod, for pod_disruption_budget)"
    )


def test_rights_are_asked_for_where_the_jobs_are() -> None:
    assert namespace_of(settings()) == "default"
    assert namespace_of(settings(namespace="ci")) == "ci"
    assert namespace_of(settings(namespace="ci", namespace_per_job=True)) == ""


def test_a_right_that_jobs_can_do_without_is_a_warning_that_says_what_for() -> None:
    listing = [one for one in OPTIONAL if (one.verb, one.resource) == ("list", "events")]
    check = judge_permissions(listing, "ci")
    assert check.verdict is Verdict.WARNING
    assert check.detail == "not allowed in namespace ci: list events (why a pod did not start)"


def test_a_right_that_jobs_need_is_missing_and_the_others_are_not_told() -> None:
    check = judge_permissions([*OPTIONAL, NEEDED[0]], "ci")
    assert check.verdict is Verdict.MISSING
    assert check.detail == "not allowed in namespace ci: create pods (the job's pod)"
