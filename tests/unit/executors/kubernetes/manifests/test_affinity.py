from __future__ import annotations

import tomllib
from typing import Any

import pytest

from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.kit.diagnostics import Place
from tests.unit.executors.kubernetes.samples import pod_plan, settings, spec

ALL = """
[affinity.node_affinity.required_during_scheduling_ignored_during_execution]
[[affinity.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms]]
match_expressions = [{key = "disk", operator = "In", values = ["ssd", "nvme"]}]
match_fields = [{key = "metadata.name", operator = "NotIn", values = ["node-9"]}]
[[affinity.node_affinity.preferred_during_scheduling_ignored_during_execution]]
weight = 100
[affinity.node_affinity.preferred_during_scheduling_ignored_during_execution.preference]
match_expressions = [{key = "cores", operator = "Gt", values = ["3"]}]
match_fields = [{key = "metadata.name", operator = "In", values = ["node-1"]}]
"""
POD_TERM = {
    "topology_key": "kubernetes.io/hostname",
    "namespaces": ["ci"],
    "match_label_keys": ["a"],
    "mismatch_label_keys": ["b"],
    "label_selector": {
        "match_labels": {"app_name": "x"},
        "match_expressions": [{"key": "tier", "operator": "Exists"}],
    },
    "namespace_selector": {
        "match_labels": {"team": "core"},
        "match_expressions": [{"key": "t", "operator": "NotIn", "values": ["u"]}],
    },
}
KUBERNETES_TERM = {
    "topologyKey": "kubernetes.io/hostname",
    "namespaces": ["ci"],
    "matchLabelKeys": ["a"],
    "mismatchLabelKeys": ["b"],
    "labelSelector": {
        "matchLabels": {"app_name": "x"},
        "matchExpressions": [{"key": "tier", "operator": "Exists"}],
    },
    "namespaceSelector": {
        "matchLabels": {"team": "core"},
        "matchExpressions": [{"key": "t", "operator": "NotIn", "values": ["u"]}],
    },
}


def affinity(**table: Any) -> Any:
    return spec(pod_plan(None, settings(affinity=table)))["affinity"]


def findings(**table: Any) -> list[str]:
    _, found = decode_settings({"affinity": table}, Place(file="config.toml"))
    return [f"{each.message} | {each.hint}" for each in found]


def test_every_key_of_node_affinity_reaches_the_pod() -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    assert affinity(**tomllib.loads(ALL)["affinity"]) == {
        "nodeAffinity": {
            required: {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {"key": "disk", "operator": "In", "values": ["ssd", "nvme"]}
                        ],
                        "matchFields": [
                            {"key": "metadata.name", "operator": "NotIn", "values": ["node-9"]}
                        ],
                    }
                ]
            },
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "preference": {
                        "matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["3"]}],
                        "matchFields": [
                            {"key": "metadata.name", "operator": "In", "values": ["node-1"]}
                        ],
                    },
                }
            ],
        }
    }


@pytest.mark.parametrize(
    ("key", "field"), [("pod_affinity", "podAffinity"), ("pod_anti_affinity", "podAntiAffinity")]
)
def test_every_key_of_pod_affinity_reaches_the_pod(key: str, field: str) -> None:
    table = {
        "required_during_scheduling_ignored_during_execution": [POD_TERM],
        "preferred_during_scheduling_ignored_during_execution": [
            {"weight": 1, "pod_affinity_term": POD_TERM}
        ],
    }
    assert affinity(**{key: table}) == {
        field: {
            "requiredDuringSchedulingIgnoredDuringExecution": [KUBERNETES_TERM],
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": KUBERNETES_TERM}
            ],
        }
    }


def test_an_empty_selector_selects_everything_and_none_selects_nothing() -> None:
    def term(**extra: Any) -> Any:
        wish = {"topology_key": "zone", **extra}
        found = affinity(
            pod_affinity={"required_during_scheduling_ignored_during_execution": [wish]}
        )
        return found["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]

    assert term() == {"topologyKey": "zone"}
    assert term(label_selector={}) == {"topologyKey": "zone", "labelSelector": {}}


@pytest.mark.parametrize("empty", [{}, {"node_affinity": {}}, {"pod_affinity": {}}])
def test_empty_tables_leave_the_pod_alone(empty: Any) -> None:
    assert "affinity" not in spec(pod_plan(None, settings(affinity=empty)))


NODE_PATH = (
    "runners.kubernetes.affinity.node_affinity.required_during_scheduling_ignored_during_execution"
    ".node_selector_terms"
)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (
            {"key": "a", "operator": "in", "values": ["b"]},
            '.operator: "in" is not an operator | use one of In, NotIn, Exists, DoesNotExist, Gt, Lt',
        ),
        ({"key": "a", "operator": "In"}, ".values: In needs at least one value | None"),
        (
            {"key": "a", "operator": "Exists", "values": ["b"]},
            ".values: Exists takes no values | None",
        ),
        (
            {"key": "a", "operator": "Gt", "values": ["many"]},
            ".values: Gt needs exactly one value, a whole number | None",
        ),
        ({"operator": "Exists"}, ".key: must be given | None"),
    ],
)
def test_an_expression_that_no_api_server_takes_is_told_with_its_path(
    expression: Any, said: str
) -> None:
    term = {"match_expressions": [{"key": "ok", "operator": "Exists"}, expression]}
    required = {
        "required_during_scheduling_ignored_during_execution": {"node_selector_terms": [term]}
    }
    assert findings(node_affinity=required) == [f"{NODE_PATH}[0].match_expressions[1]{said}"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = findings(
        node_affinity={
            "required_during_scheduling_ignored_during_execution": {"node_selector_terms": []},
            "preferred_during_scheduling_ignored_during_execution": [
                {"weight": 101, "preference": {"match_fields": [{"key": "spec.x"}]}}
            ],
        },
        pod_affinity={
            "required_during_scheduling_ignored_during_execution": [{"match_label_keys": ["a"]}]
        },
        pod_anti_affinity={
            "preferred_during_scheduling_ignored_during_execution": [
                {
                    "weight": 0,
                    "pod_affinity_term": {
                        "topology_key": "zone",
                        "label_selector": {
                            "match_expressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]
                        },
                    },
                }
            ]
        },
    )
    assert [
        text.partition("runners.kubernetes.affinity.")[2].partition(" | ")[0] for text in found
    ] == [
        (
            "node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms: "
            "must have at least one term"
        ),
        (
            "node_affinity.preferred_during_scheduling_ignored_during_execution[0].weight: "
            "101 is not in the range 1 to 100"
        ),
        (
            "node_affinity.preferred_during_scheduling_ignored_during_execution[0].preference"
            '.match_fields[0].key: "spec.x" is not a field that nodes are chosen by'
        ),
        (
            "pod_affinity.required_during_scheduling_ignored_during_execution[0].topology_key: "
            "must be given"
        ),
        (
            "pod_affinity.required_during_scheduling_ignored_during_execution[0]: "
            "match_label_keys and mismatch_label_keys need a label_selector"
        ),
        (
            "pod_anti_affinity.preferred_during_scheduling_ignored_during_execution[0].weight: "
            "0 is not in the range 1 to 100"
        ),
        (
            "pod_anti_affinity.preferred_during_scheduling_ignored_during_execution[0]"
            '.pod_affinity_term.label_selector.match_expressions[0].operator: "Gt" is not an operator'
        ),
    ]


def test_an_unknown_key_deep_inside_is_told_with_its_path() -> None:
    [text] = findings(pod_affinity={"required_during": []})
    assert "unknown field `required_during` - at `pod_affinity`" in text
