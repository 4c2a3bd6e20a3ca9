"""Where a job goes, by its settings and its variables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from podlane.executors.base import Level
from podlane.executors.kubernetes.manifests.metadata import JOB_ID, PROCESS
from podlane.executors.kubernetes.planning.placement import NOTHING, POD, bearer_token
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.restart.takeover import Limits, check, names, recall, remember
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.kit.diagnostics import Place, Severity
from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import obj, objects, text
from podlane.model.job import Variable
from podlane.model.variables import Variables
from tests.unit.executors.kubernetes.samples import execution_plan, pod_plan, settings

TOKEN = "eyJhbGciOi-the-token"
LIMITS = Limits(
    timeout_seconds=60, poll_timeout_seconds=60, unreachable_seconds=60, grace_seconds=1,
    quick_grace_seconds=1,
)  # fmt: skip


def planned(variables: dict[str, str] | None = None, **table: Any) -> PodPlan:
    pairs = tuple(Variable(key=key, value=value) for key, value in (variables or {}).items())
    return pod_plan(execution_plan(variables=pairs), settings(**table))


def said(plan: PodPlan) -> list[str]:
    return [note.text for note in plan.notes]


def test_a_job_is_where_the_settings_say() -> None:
    assert planned().namespace == "default"
    assert planned(namespace="ci").namespace == "ci"
    assert planned(namespace="ci").beside is NOTHING
    assert planned(namespace="ci").created().beside is NOTHING


def test_a_job_may_name_a_namespace_that_matches() -> None:
    variables = {"KUBERNETES_NAMESPACE_OVERWRITE": "ci-review"}
    plan = planned(variables, namespace="ci", namespace_overwrite_allowed="^ci-")
    assert plan.namespace == "ci-review"
    assert text(plan.pod, "metadata", "namespace") == "ci-review"
    assert text(plan.secret, "metadata", "namespace") == "ci-review"
    lines = said(plan)
    assert lines[:2] == [
        '"Namespace" overwritten with "ci-review"', "Using Kubernetes namespace: ci-review",
    ]  # fmt: skip


def test_the_expression_has_no_anchors_of_its_own_as_in_go() -> None:
    variables = {"KUBERNETES_NAMESPACE_OVERWRITE": "my-ci-review"}
    assert planned(variables, namespace_overwrite_allowed="ci-").namespace == "my-ci-review"


def test_a_namespace_that_does_not_match_is_refused_in_gitlabs_words() -> None:
    variables = {"KUBERNETES_NAMESPACE_OVERWRITE": "prod"}
    with pytest.raises(PlanError, match=r'provided value "prod" does not match "ci-[.]'):
        planned(variables, namespace_overwrite_allowed="ci-.*")


def test_a_namespace_that_nothing_can_be_called_is_refused() -> None:
    variables = {"KUBERNETES_NAMESPACE_OVERWRITE": "ci-../secrets"}
    with pytest.raises(PlanError, match="no namespace can be called"):
        planned(variables, namespace_overwrite_allowed="ci-.*")


def test_without_the_setting_the_variable_means_nothing() -> None:
    assert planned({"KUBERNETES_NAMESPACE_OVERWRITE": "prod"}).namespace == "default"
    allowed = planned({"KUBERNETES_NAMESPACE_OVERWRITE": ""}, namespace_overwrite_allowed=".*")
    assert allowed.namespace == "default"


def test_what_is_ignored_is_told_with_what_would_allow_it() -> None:
    variables = {"KUBERNETES_NAMESPACE_OVERWRITE": "prod", "KUBERNETES_BEARER_TOKEN": TOKEN}
    line = "Ignored, because the runner does not allow it: KUBERNETES_NAMESPACE_OVERWRITE"
    assert said(planned(variables))[0] == (
        f"{line} (needs namespace_overwrite_allowed), "
        "KUBERNETES_BEARER_TOKEN (needs bearer_token_overwrite_allowed)"
    )
    alone = {"KUBERNETES_NAMESPACE_OVERWRITE": "prod"}
    assert said(planned(alone, namespace_per_job=True))[0] == (
        f"{line} (each job has a namespace of its own)"
    )
    assert not any(text.startswith("Ignored") for text in said(planned()))


def test_a_namespace_for_each_job_wins_over_the_others() -> None:
    variables = {"KUBERNETES_NAMESPACE_OVERWRITE": "prod"}
    plan = planned(
        variables, namespace="ci", namespace_overwrite_allowed="x", namespace_per_job=True
    )
    assert plan.namespace == "ci-job-42"
    room = plan.beside.room
    assert room is not None
    assert text(room, "metadata", "name") == "ci-job-42"
    assert text(room, "metadata", "annotations", POD) == plan.name
    assert text(room, "metadata", "labels", JOB_ID) == "42"
    assert text(room, "metadata", "labels", PROCESS)
    assert plan.created().beside.own_room
    assert plan.created().beside.room is None


def test_an_expression_that_is_none_is_an_error_of_the_file() -> None:
    _, (finding,) = decode_settings({"namespace_overwrite_allowed": "ci-("}, Place(file="c"))
    assert "is no regular expression" in finding.message


def test_a_token_needs_the_permission_and_a_host() -> None:
    variables = Variables([Variable(key="KUBERNETES_BEARER_TOKEN", value=TOKEN)])
    allowed = settings(host="https://c", bearer_token_overwrite_allowed=True)
    assert bearer_token(allowed, variables) == TOKEN
    assert bearer_token(allowed, Variables([])) == ""
    assert bearer_token(settings(host="https://c"), variables) == ""


def test_a_token_is_never_told() -> None:
    variables = {"KUBERNETES_BEARER_TOKEN": TOKEN}
    plan = planned(variables, host="https://c", bearer_token_overwrite_allowed=True)
    assert '"BearerToken" overwritten with "XXXXXXXX..."' in said(plan)
    assert plan.beside.own_token
    assert TOKEN not in repr(plan)


def test_a_token_without_a_host_is_not_obeyed_and_both_are_told() -> None:
    table = {"bearer_token_overwrite_allowed": True}
    decoded, (finding,) = decode_settings(dict(table), Place(file="c"))
    assert finding.severity is Severity.WARNING
    assert "has no effect without host" in finding.message
    job = execution_plan(variables=(Variable(key="KUBERNETES_BEARER_TOKEN", value=TOKEN),))
    plan = pod_plan(job, decoded)
    assert not plan.beside.own_token
    (note,) = [note for note in plan.notes if note.level is Level.WARNING]
    assert "KUBERNETES_BEARER_TOKEN has no effect" in note.text


def test_a_budget_covers_this_job_alone_and_each_incarnation_has_its_own() -> None:
    plan = planned(pod_disruption_budget=True)
    one, other = (plan.beside.budget_of(plan.name, uid) for uid in ("aaaaaaaa-1", "bbbbbbbb-2"))
    assert one is not None
    assert other is not None
    assert text(one, "metadata", "name") == f"{plan.name}-pdb-aaaaaaaa"
    assert text(other, "metadata", "name") == f"{plan.name}-pdb-bbbbbbbb"
    assert [owner["uid"] for owner in objects(one, "metadata", "ownerReferences")] == ["aaaaaaaa-1"]
    assert obj(one, "spec")["minAvailable"] == 1
    labels = obj(plan.pod, "metadata", "labels")
    chosen = obj(one, "spec", "selector", "matchLabels")
    assert chosen == {key: labels[key] for key in ("job.runner.gitlab.com/pod", JOB_ID)}
    assert planned().beside.budget_of("p", "u") is None


@pytest.mark.parametrize(("attempts", "checks"), [(0, 0), (2, 3), (-1, 6)])
def test_what_must_exist_is_looked_for_as_often_as_gitlab_does(attempts: int, checks: int) -> None:
    plan = planned(
        resource_availability_check_max_attempts=attempts,
        service_account="builder",
        image_pull_secrets=["one", "two"],
    )
    assert plan.beside.checks == checks
    found = [(one.resource, one.kind, one.name) for one in plan.beside.awaited]
    expected = [
        ("serviceaccounts", "ServiceAccount", "builder"),
        ("secrets", "ImagePullSecret", "one"),
        ("secrets", "ImagePullSecret", "two"),
    ]
    assert found == (expected if checks else [])


def test_a_successor_knows_what_is_the_jobs_own_and_not_its_token() -> None:
    own = planned(namespace_per_job=True)
    memory = remember(own, LIMITS, 1.0)
    assert recall(memory).plan().beside.own_room
    assert names([memory]) == {own.name}
    variables = {"KUBERNETES_BEARER_TOKEN": TOKEN}
    plan = planned(variables, host="https://c", bearer_token_overwrite_allowed=True)
    memory = remember(replace(plan, stages=()), LIMITS, 1.0)
    assert TOKEN.encode() not in memory
    assert names([memory]) == frozenset()
    with pytest.raises(PermanentError, match="the token that the job worked with"):
        check(recall(memory))
    check(recall(remember(own, LIMITS, 1.0)))
