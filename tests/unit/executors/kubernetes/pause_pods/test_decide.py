"""Which pause pods are made and deleted."""

from __future__ import annotations

from podlane.executors.kubernetes.pause_pods import decide
from podlane.executors.kubernetes.pause_pods.decide import AT_ONCE, Changes
from podlane.kube.types import ContainerState, ContainerStatus, Pod, StateWaiting
from tests.unit.executors.kubernetes.pause_pods.samples import MONDAY_NOON, TEMPLATE_NOW, pod, seen


def changes(*pods: Pod, count: int, made: dict[str, float] | None = None) -> Changes:
    return decide.changes(seen(*pods), made or {}, TEMPLATE_NOW, count, MONDAY_NOON)


def test_what_is_missing_is_made() -> None:
    assert changes(pod("a"), count=3) == Changes(make=2)
    assert changes(pod("a"), pod("b"), count=2) == Changes()


def test_what_was_made_and_does_not_show_yet_counts() -> None:
    just, long_ago = MONDAY_NOON - 5, MONDAY_NOON - 15
    assert changes(pod("a"), count=3, made={"b": just}).make == 1
    assert changes(pod("a"), count=3, made={"b": long_ago}).make == 2
    assert changes(pod("a"), count=3, made={"a": just}).make == 2


def test_so_many_are_made_at_once_and_no_more() -> None:
    assert changes(count=1000).make == AT_ONCE


def test_spare_pods_go_those_without_a_node_first_then_the_youngest() -> None:
    pods = (pod("old", age=900), pod("waits", age=950, node=""), pod("young", age=60))
    assert changes(*pods, count=2).delete == ("waits",)
    assert changes(*pods, count=1).delete == ("waits", "young")
    assert changes(*pods, count=0).delete == ("waits", "young", "old")


def test_pods_that_go_do_not_count_and_are_left_alone() -> None:
    assert changes(pod("a", leaving=True), count=1) == Changes(make=1)


def test_pods_of_other_settings_are_replaced() -> None:
    assert changes(pod("a", mark="other"), pod("b"), count=2) == Changes(make=1, delete=("a",))


def test_a_pod_that_has_ended_is_replaced() -> None:
    ended = pod("a", age=3600, phase="Failed", reason="DeadlineExceeded")
    assert changes(ended, pod("b"), count=2) == Changes(make=1, delete=("a",))


def test_a_pod_that_ended_as_soon_as_it_was_made_is_told() -> None:
    refused = pod("a", age=2, phase="Failed", reason="OutOfcpu", message="no cpu left")
    assert changes(refused, count=1) == Changes(
        make=1, delete=("a",), short="OutOfcpu: no cpu left"
    )


def test_pods_of_others_are_none_of_our_business() -> None:
    others = (pod("a", process="boot-9-9"), pod("b", runner="xyz"), pod("c", process=""))
    assert changes(*others, count=1) == Changes(make=1)
    just_ended = pod("d", process="boot-9-9", phase="Failed", age=600)
    assert changes(just_ended, count=0) == Changes()


def test_what_a_dead_manager_left_and_has_ended_since_is_removed() -> None:
    left = pod("a", process="boot-9-9", phase="Failed", reason="DeadlineExceeded", age=3700)
    assert changes(left, count=0) == Changes(delete=("a",))


def test_at_the_end_all_of_ours_are_removed() -> None:
    pods = seen(
        pod("a"), pod("b", mark="other"), pod("c", leaving=True), pod("d", runner="xyz"),
        pod("e", phase="Failed"),
    )  # fmt: skip
    assert decide.remaining(pods, {"a", "new"}, TEMPLATE_NOW) == ["a", "b", "e", "new"]


def test_a_container_that_cannot_run_is_told() -> None:
    waiting = StateWaiting(reason="ImagePullBackOff", message="no such image")
    status = ContainerStatus(name="pause", state=ContainerState(waiting=waiting))
    stuck = pod("a", container_statuses=(status,))
    assert decide.trouble([pod("b"), stuck], TEMPLATE_NOW) == ("ImagePullBackOff", "no such image")
    creating = ContainerState(waiting=StateWaiting(reason="ContainerCreating"))
    begins = pod("c", container_statuses=(ContainerStatus(name="pause", state=creating),))
    other = pod("d", runner="xyz", container_statuses=(status,))
    assert decide.trouble([begins, other], TEMPLATE_NOW) is None
