from __future__ import annotations

from typing import Any

import pytest

from podlane.kube import errors
from podlane.node.apiserver.admission import admit_create


def admitted(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    boxes = [{"name": f"c{i}", "image": "x", "resources": r} for i, r in enumerate(containers)]
    pod: Any = {"metadata": {"name": "p"}, "spec": {"containers": boxes, **spec}}
    admit_create("pods", pod, node_name="node-1")
    made: dict[str, Any] = pod
    return made


def refused(*containers: dict[str, Any], **spec: Any) -> str:
    with pytest.raises(errors.InvalidError) as error:
        admitted(*containers, **spec)
    return error.value.message


def test_requests_of_the_pod_default_to_the_containers_else_to_its_limits() -> None:
    made = admitted(
        {"requests": {"cpu": "500m"}},
        {"requests": {"cpu": "1"}},
        resources={"limits": {"cpu": "2", "memory": "1Gi"}},
    )
    assert made["spec"]["resources"] == {
        "limits": {"cpu": "2", "memory": "1Gi"},
        "requests": {"cpu": "1500m", "memory": "1Gi"},
    }


def test_a_pod_without_limits_of_its_own_gets_no_requests() -> None:
    made = admitted({"requests": {"cpu": "1"}}, resources={"requests": {"memory": "1Gi"}})
    assert made["spec"]["resources"] == {"requests": {"memory": "1Gi"}}
    assert "resources" not in admitted({"requests": {"cpu": "1"}})["spec"]


def test_the_containers_may_not_request_more_than_their_pod() -> None:
    text = refused(
        {"requests": {"cpu": "1", "memory": "4Gi"}},
        {"requests": {"cpu": "500m", "memory": "2Gi"}},
        resources={"requests": {"cpu": "1", "memory": "576Mi"}},
    )
    assert text == (
        'Pod "p" is invalid: [spec.resources.requests[cpu]: Invalid value: "1": must be greater '
        "than or equal to aggregate container requests of 1500m, spec.resources.requests[memory]: "
        'Invalid value: "576Mi": must be greater than or equal to aggregate container requests of '
        "6Gi]"
    )


def test_init_containers_count_one_by_one_and_sidecars_all_along() -> None:
    def init(amount: str, **more: Any) -> dict[str, Any]:
        requests = {"requests": {"memory": amount}}
        return {"name": f"i{amount}".lower(), "image": "x", "resources": requests, **more}

    text = refused(
        {"requests": {"memory": "1Gi"}},
        initContainers=[init("2Gi"), init("1Gi", restartPolicy="Always"), init("3Gi")],
        resources={"requests": {"memory": "1Gi"}},
    )
    assert text.endswith("aggregate container requests of 4Gi")


def test_a_container_may_not_have_a_higher_limit_than_its_pod() -> None:
    text = refused(
        {"limits": {"memory": "2Gi"}, "requests": {"memory": "1Mi"}},
        resources={"limits": {"memory": "1Gi"}},
    )
    assert text == (
        'Pod "p" is invalid: spec.resources.containers[0][memory].limits: Invalid value: "2Gi": '
        "must be less than or equal to pod limits of 1Gi"
    )


def test_a_pod_may_not_request_more_than_its_limit_nor_other_resources() -> None:
    assert "must be less than or equal to cpu limit of 1" in refused(
        {}, resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}
    )
    assert 'spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage"' in (
        refused({}, resources={"limits": {"ephemeral-storage": "1Gi"}})
    )


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
        ({"limits": {"memory": "1Gi"}}, "Burstable"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({}, "BestEffort"),
    ],
)
def test_the_resources_of_the_pod_decide_its_quality_of_service(
    resources: Any, quality: str
) -> None:
    assert admitted({}, resources=resources)["status"]["qosClass"] == quality


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    ("affinity", "said"),
    [
        (
            {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}},
            (
                f"nodeAffinity.{REQUIRED}.nodeSelectorTerms: Required value: must have at least one "
                "node selector term"
            ),
        ),
        (
            {"nodeAffinity": {PREFERRED: [{"weight": 0, "preference": {}}]}},
            f"nodeAffinity.{PREFERRED}[0].weight: Invalid value: 0: must be in the range 1-100",
        ),
        (
            {
                "nodeAffinity": {
                    REQUIRED: {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "a", "operator": "in"}]}
                        ]
                    }
                }
            },
            (
                f"nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid "
                'value: "in": not a valid selector operator'
            ),
        ),
        (
            {"podAntiAffinity": {REQUIRED: [{"labelSelector": {}}]}},
            f"podAntiAffinity.{REQUIRED}[0].topologyKey: Required value: can not be empty",
        ),
        (
            {
                "podAffinity": {
                    PREFERRED: [
                        {
                            "weight": 1,
                            "podAffinityTerm": {
                                "topologyKey": "zone",
                                "labelSelector": {
                                    "matchExpressions": [{"key": "a", "operator": "In"}]
                                },
                            },
                        }
                    ]
                }
            },
            (
                f"podAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector.matchExpressions[0].values: "
                "Required value: must be specified when `operator` is 'In' or 'NotIn'"
            ),
        ),
    ],
)
def test_an_affinity_that_means_nothing_is_refused(affinity: Any, said: str) -> None:
    assert refused({}, affinity=affinity) == f'Pod "p" is invalid: spec.affinity.{said}'
