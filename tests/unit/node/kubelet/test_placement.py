from __future__ import annotations

from typing import Any

import pytest

from podlane.node.kubelet import placement
from podlane.node.kubelet.placement import MisfitError

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
NODE: Any = {
    "metadata": {
        "name": "node-1",
        "labels": {"kubernetes.io/hostname": "node-1", "disk": "ssd", "cores": "4"},
    }
}
NAMESPACES: Any = [
    {"metadata": {"name": "default", "labels": {}}},
    {"metadata": {"name": "other", "labels": {"team": "core"}}},
]
SELECTOR = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."


def pod(
    name: str = "p",
    *,
    labels: dict[str, str] | None = None,
    scheduled: str | None = "True",
    namespace: str = "default",
    phase: str = "Running",
    **spec: Any,
) -> Any:
    conditions = [] if scheduled is None else [{"type": "PodScheduled", "status": scheduled}]
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": labels or {}},
        "spec": spec,
        "status": {"phase": phase, "conditions": conditions},
    }


def why(this: Any, *others: Any, node: Any = NODE) -> str:
    try:
        placement.check(this, node, [this, *others], NAMESPACES)
    except MisfitError as error:
        return error.message
    return ""


def node_affinity(*terms: Any) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [*terms]}}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": [*values]}


def term(selector: Any, key: str = "kubernetes.io/hostname", **more: Any) -> dict[str, Any]:
    return {"topologyKey": key, "labelSelector": selector, **more}


def near(*terms: Any) -> dict[str, Any]:
    return {"affinity": {"podAffinity": {REQUIRED: [*terms]}}}


def away(*terms: Any) -> dict[str, Any]:
    return {"affinity": {"podAntiAffinity": {REQUIRED: [*terms]}}}


WEB = {"matchLabels": {"app": "web"}}


def test_a_node_selector_must_match() -> None:
    assert why(pod(nodeSelector={"disk": "ssd"})) == ""
    assert why(pod(nodeSelector={"disk": "hdd"})) == SELECTOR


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (expression("disk", "In", "hdd", "ssd"), True),
        (expression("disk", "In", "hdd"), False),
        (expression("disk", "NotIn", "hdd"), True),
        (expression("gpu", "NotIn", "a"), True),
        (expression("gpu", "In", "a"), False),
        (expression("disk", "Exists"), True),
        (expression("gpu", "Exists"), False),
        (expression("gpu", "DoesNotExist"), True),
        (expression("cores", "Gt", "3"), True),
        (expression("cores", "Gt", "4"), False),
        (expression("cores", "Lt", "5"), True),
        (expression("disk", "Gt", "3"), False),
    ],
)
def test_node_affinity_has_six_operators(wanted: Any, fits: bool) -> None:
    assert (why(pod(**node_affinity({"matchExpressions": [wanted]}))) == "") is fits


def test_one_term_of_node_affinity_is_enough_and_an_empty_one_matches_nothing() -> None:
    bad = {"matchExpressions": [expression("disk", "In", "hdd")]}
    good = {"matchFields": [expression("metadata.name", "In", "node-1")]}
    assert why(pod(**node_affinity(bad, good))) == ""
    assert why(pod(**node_affinity(bad))) == SELECTOR
    assert why(pod(**node_affinity({}))) == SELECTOR


def test_a_cordoned_node_takes_no_pod() -> None:
    cordoned = {**NODE, "spec": {"unschedulable": True}}
    assert why(pod(), node=cordoned) == "0/1 nodes are available: 1 node(s) were unschedulable."


def test_a_pod_waits_for_the_one_that_it_wants_to_be_near() -> None:
    this = pod(**near(term(WEB)))
    assert why(this) == "0/1 nodes are available: 1 node(s) didn't match pod affinity rules."
    assert why(this, pod("web", labels={"app": "web"})) == ""
    assert why(this, pod("web", labels={"app": "web"}, scheduled="False")) != ""
    assert why(this, pod("web", labels={"app": "web"}, phase="Succeeded")) != ""
    assert why(pod(**near(term(WEB, "zone"))), pod("web", labels={"app": "web"})) != ""


def test_the_first_of_pods_that_want_each_other_needs_nobody() -> None:
    assert why(pod(labels={"app": "web"}, **near(term(WEB)))) == ""


def test_a_pod_keeps_away_from_others_and_others_from_it() -> None:
    web = pod("web", labels={"app": "web"})
    assert why(pod(**away(term(WEB))), web) == (
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
    )
    assert why(pod(**away(term(WEB, "zone"))), web) == "", "the node is in no zone"
    loner = pod("loner", **away(term(WEB)))
    assert why(web, loner) == (
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
    )


def test_of_two_pods_that_shun_each_other_the_first_one_gets_the_place() -> None:
    rules = away(term({"matchLabels": {"app": "x"}}))
    one, two = (pod(n, labels={"app": "x"}, scheduled=None, **rules) for n in ("one", "two"))
    assert why(one, two) == ""
    placed = pod("one", labels={"app": "x"}, scheduled="True", **rules)
    assert "anti-affinity" in why(two, placed)


def test_namespaces_are_the_own_one_the_named_ones_or_the_selected_ones() -> None:
    web = pod("web", labels={"app": "web"}, namespace="other")
    assert why(pod(**near(term(WEB))), web) != ""
    assert why(pod(**near(term(WEB, namespaces=["other"]))), web) == ""
    assert why(pod(**near(term(WEB, namespaceSelector={}))), web) == ""
    core = {"matchLabels": {"team": "core"}}
    assert why(pod(**near(term(WEB, namespaceSelector=core))), web) == ""
    assert why(pod(**near(term(WEB, namespaceSelector={"matchLabels": {"team": "x"}}))), web) != ""


def test_no_selector_means_no_pod_and_an_empty_one_every_pod() -> None:
    web = pod("web", labels={"app": "web"})
    assert why(pod(**away(term(None))), web) == ""
    assert why(pod(**away(term({}))), web) != ""


def test_label_keys_compare_with_the_pods_own_labels() -> None:
    same = term({}, matchLabelKeys=["v"])
    other = term({}, mismatchLabelKeys=["v"])
    old = pod("old", labels={"v": "1"})
    assert why(pod(labels={"v": "1"}, **away(same)), old) != ""
    assert why(pod(labels={"v": "2"}, **away(same)), old) == ""
    assert why(pod(labels={"v": "1"}, **away(other)), old) == ""
    assert why(pod(labels={"v": "2"}, **away(other)), old) != ""


def test_what_a_pod_prefers_never_holds_it_up() -> None:
    wish = {"weight": 1, "podAffinityTerm": term(WEB)}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}
    affinity = {"podAffinity": preferred, "podAntiAffinity": preferred}
    assert why(pod(affinity=affinity), pod("web", labels={"app": "web"})) == ""
