"""The keeper at work, in virtual time, on a cluster that is a dictionary."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import msgspec
import pytest

from podlane.executors.kubernetes.pause_pods.keeper import Keeper, Parts, View
from podlane.executors.kubernetes.pause_pods.manifest import TEMPLATE, Template
from podlane.executors.kubernetes.pause_pods.policy import Policies, read_policies
from podlane.executors.kubernetes.pause_pods.standby import Standby, Tenure
from podlane.kit.clock import rfc3339
from podlane.kit.errors import PodlaneError
from podlane.kit.jsonvalue import JsonObject
from podlane.kube import errors
from podlane.kube.types import Pod, PodStatus
from tests.fakes.virtual_time import Backend, virtual_time
from tests.unit.executors.kubernetes.pause_pods.samples import MONDAY_NOON, decoded, template

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_time()


class VirtualClock:
    def __init__(self) -> None:
        self._began = anyio.current_time()

    def now(self) -> float:
        return MONDAY_NOON + anyio.current_time() - self._began


@dataclass
class FakeCluster:
    """Pods run at once and show at once; ``refused`` are what (verb, resource) is answered with."""

    clock: VirtualClock
    pods: dict[str, Pod] = field(default_factory=dict)
    classes: dict[str, JsonObject] = field(default_factory=dict)
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: dict[tuple[str, str], PodlaneError] = field(default_factory=dict)
    problem: PodlaneError | None = None
    blind: bool = False
    phase: str = "Running"
    create_seconds: float = 0.0

    def _enter(self, verb: str, resource: str) -> None:
        self.requests[verb, resource] += 1
        if error := self.refused.get((verb, resource)):
            raise error

    async def create(self, resource: str, namespace: str, manifest: JsonObject) -> JsonObject:
        self._enter("create", resource)
        await anyio.sleep(self.create_seconds)
        name = str(manifest["metadata"]["name"])  # type: ignore[index, call-overload] # JSON
        if resource == "priorityclasses":
            self.classes[name] = manifest
            return manifest
        assert namespace == "default"
        pod = msgspec.convert(manifest, Pod)
        metadata = msgspec.structs.replace(
            pod.metadata, creation_timestamp=rfc3339(self.clock.now())
        )
        spec = msgspec.structs.replace(pod.spec, node_name="node-1")
        status = PodStatus(phase=self.phase, reason="" if self.phase == "Running" else "OutOfcpu")
        if not self.blind:
            self.pods[name] = Pod(metadata=metadata, spec=spec, status=status)
        return manifest

    async def get(self, resource: str, namespace: str, name: str) -> JsonObject:
        self._enter("get", resource)
        if name not in self.classes:
            raise errors.not_found(resource, name)
        return self.classes[name]

    async def delete(self, resource: str, namespace: str, name: str) -> JsonObject:
        self._enter("delete", resource)
        if name not in self.pods:
            raise errors.not_found(resource, name)
        del self.pods[name]
        return {}

    @asynccontextmanager
    async def view(self) -> AsyncIterator[View]:
        self._enter("list", "pods")
        yield self


def policies(*entries: dict[str, Any], **table: Any) -> Policies:
    settings, found = decoded(autoscaler={"policy": list(entries), **table})
    assert found == []
    assert settings.autoscaler is not None
    return read_policies(settings.autoscaler)


PLACE = ("cluster", "default", "abc", "boot-1-2")
TWO = {"idle_count": 2}


@dataclass
class Bench:
    cluster: FakeCluster
    standby: Standby = field(default_factory=Standby)

    def parts(self, *entries: dict[str, Any], given: Template | None = None, **table: Any) -> Parts:
        return Parts(
            cluster=self.cluster, view=self.cluster.view, template=given or template(),
            policies=policies(*entries, **table), tenure=Tenure(standby=self.standby), place=PLACE,
            clock=self.cluster.clock, random=random.Random(1),
        )  # fmt: skip

    @asynccontextmanager
    async def keeping(self, parts: Parts) -> AsyncIterator[Tenure]:
        """A keeper at work inside the block; leaving it is the end of the manager."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Keeper(parts).run)
            try:
                yield parts.tenure
            finally:
                tasks.cancel_scope.cancel()

    @property
    def count(self) -> int:
        return len(self.cluster.pods)


@pytest.fixture
async def bench() -> Bench:
    return Bench(FakeCluster(VirtualClock()))


def forbidden(said: str) -> PodlaneError:
    return errors.failure(403, "Forbidden", said)


async def test_pods_are_made_kept_and_removed_at_the_end(bench: Bench) -> None:
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(1)
        assert bench.count == 2
        await anyio.sleep(600)
        assert bench.count == 2
        assert bench.cluster.requests == Counter(
            {("list", "pods"): 1, ("create", "pods"): 2, ("get", "priorityclasses"): 1,
             ("create", "priorityclasses"): 1}
        )  # fmt: skip
    assert bench.count == 0
    assert bench.cluster.requests["delete", "pods"] == 2


async def test_a_manager_that_ends_in_the_middle_of_making_pods_leaves_none(bench: Bench) -> None:
    bench.cluster.create_seconds = 2.0
    async with bench.keeping(bench.parts({"idle_count": 5})):
        await anyio.sleep(5)  # the class and a pod are there, a second pod is under way
    assert bench.cluster.requests["create", "pods"] == 2
    assert bench.cluster.requests["delete", "pods"] == 2
    assert bench.count == 0


async def test_the_class_of_pause_pods_yields_to_everything(bench: Bench) -> None:
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(1)
    made = bench.cluster.classes["gitlab-runner-idle-capacity"]
    assert (made["value"], made["globalDefault"]) == (-1, False)


async def test_a_class_of_another_name_is_not_made(bench: Bench) -> None:
    own = template(autoscaler={"pause_pod_priority_class_name": "low", "policy": [TWO]})
    async with bench.keeping(bench.parts(TWO, given=own)):
        await anyio.sleep(1)
    assert bench.cluster.requests["create", "pods"] == 2
    assert bench.cluster.requests["get", "priorityclasses"] == 0
    assert bench.cluster.classes == {}


async def test_a_preempted_pod_is_made_anew(bench: Bench) -> None:
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(5)
        bench.cluster.pods.popitem()
        await anyio.sleep(3)
        assert bench.count == 2


async def test_the_number_follows_the_jobs_and_falls_after_the_idle_time(bench: Bench) -> None:
    policy = {"scale_factor": 1, "idle_time": "5m"}
    async with bench.keeping(bench.parts(policy)):
        await anyio.sleep(3)
        assert bench.count == 0
        with bench.standby.busy(), bench.standby.busy(), bench.standby.busy():
            await anyio.sleep(3)
            assert bench.count == 3
        await anyio.sleep(290)
        assert bench.count == 3
        assert (bench.standby.desired, bench.standby.current) == (0, 3)
        await anyio.sleep(15)
        assert bench.count == 0
    assert bench.standby.scaled == Counter(up=1, down=1)


async def test_the_number_follows_the_clock(bench: Bench) -> None:
    noon = {"periods": ["0-14 12 * * mon"], "timezone": "UTC", "idle_count": 2}
    later = noon | {"periods": ["20 12 * * *"], "idle_count": 1}
    async with bench.keeping(bench.parts({}, noon, later)):
        await anyio.sleep(10)
        assert bench.count == 2
        await anyio.sleep(15 * 60)
        assert bench.count == 0
        await anyio.sleep(5 * 60)
        assert bench.count == 1


async def test_pods_that_do_not_show_yet_are_not_made_twice(bench: Bench) -> None:
    bench.cluster.blind = True
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(9)
        assert bench.cluster.requests["create", "pods"] == 2
    assert bench.cluster.requests["delete", "pods"] == 2


async def test_nothing_is_changed_while_the_pods_cannot_be_seen(bench: Bench) -> None:
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(5)
        bench.cluster.problem = errors.UnreachableError("no answer")
        bench.cluster.pods.clear()
        await anyio.sleep(60)
        assert bench.count == 0
        bench.cluster.problem = None
        await anyio.sleep(3)
        assert bench.count == 2


async def test_a_cluster_that_cannot_be_seen_at_first_is_asked_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.cluster.refused["list", "pods"] = errors.UnreachableError("no answer")
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(60)
        assert bench.count == 0
        del bench.cluster.refused["list", "pods"]
        await anyio.sleep(100)
        assert bench.count == 2
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        "pause_pods_not_seen"
    ]
    assert bench.standby.errors["list_pods"] > 1


QUOTA = (
    'pods "x" is forbidden: exceeded quota: ci, requested: pods=1, used: pods=4, limited: pods=4'
)


async def test_a_refusal_is_told_once_an_hour_with_what_to_change_and_asked_ever_more_rarely(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.cluster.refused["create", "pods"] = forbidden(QUOTA)
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(3500)
        asked = bench.cluster.requests["create", "pods"]
        assert 5 < asked < 25
        assert bench.standby.errors["apply_state"] == asked
        (told,) = [r for r in caplog.records if r.levelname == "WARNING"]
        assert told.message == "pause_pods_not_made"
        fields: Any = told.__dict__["fields"]
        assert "exceeded quota" in fields["error"]
        assert fields["hint"].startswith("raise the ResourceQuota, or lower idle_count")
        await anyio.sleep(800)
        assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 2
        del bench.cluster.refused["create", "pods"]
        await anyio.sleep(400)
        assert bench.count == 2


async def test_without_rights_on_priority_classes_the_pods_are_made_all_the_same(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    said = 'priorityclasses is forbidden: User "ci" cannot …'
    for verb in ("get", "create"):
        bench.cluster.refused[verb, "priorityclasses"] = forbidden(said)
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(60)
        assert bench.count == 2
    assert bench.cluster.requests["create", "priorityclasses"] == 1
    assert [r for r in caplog.records if r.levelname == "WARNING"] == []


async def test_a_missing_class_is_told_and_looked_for_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    missing = (
        'pods "x" is forbidden: no PriorityClass with name gitlab-runner-idle-capacity was found'
    )
    bench.cluster.refused["create", "pods"] = forbidden(missing)
    bench.cluster.refused["create", "priorityclasses"] = forbidden("cannot create")
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(60)
        (told,) = [r for r in caplog.records if r.levelname == "WARNING"]
        assert "kubectl create priorityclass" in told.__dict__["fields"]["hint"]
        bench.cluster.refused.clear()
        await anyio.sleep(300)
        assert bench.count == 2
        assert bench.cluster.classes


async def test_pods_that_end_at_once_are_made_ever_more_rarely(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.cluster.phase = "Failed"
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(3600)
    assert bench.cluster.requests["create", "pods"] < 50
    told = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert told == ["pause_pods_end_at_once"]


async def test_a_refused_delete_is_tried_again(bench: Bench) -> None:
    async with bench.keeping(bench.parts({"scale_factor": 1})):
        with bench.standby.busy():
            await anyio.sleep(3)
        bench.cluster.refused["delete", "pods"] = errors.UnreachableError("no answer")
        await anyio.sleep(8)
        assert bench.count == 1
        bench.cluster.refused.clear()
        await anyio.sleep(60)
        assert bench.count == 0


async def test_the_pods_go_when_the_runner_takes_no_more_jobs(bench: Bench) -> None:
    async with bench.keeping(bench.parts(TWO)) as tenure:
        await anyio.sleep(1)
        tenure.ended.set()
        await anyio.sleep(1)
        assert bench.count == 0
        assert bench.standby.desired is None


async def test_settings_that_are_past_already_make_no_pods(bench: Bench) -> None:
    parts = bench.parts(TWO)
    parts.tenure.ended.set()
    async with bench.keeping(parts):
        await anyio.sleep(60)
    assert bench.cluster.requests == Counter()


async def test_new_settings_take_over_the_pods_of_the_old_ones(bench: Bench) -> None:
    async with bench.keeping(bench.parts(TWO)) as before:
        await anyio.sleep(1)
        first = set(bench.cluster.pods)
        async with bench.keeping(bench.parts({"idle_count": 3})):
            await anyio.sleep(1)
            before.ended.set()
            await anyio.sleep(60)
            assert bench.count == 3
            assert first < set(bench.cluster.pods)
            assert bench.cluster.requests["delete", "pods"] == 0
    assert bench.count == 0


async def test_new_settings_replace_pods_that_are_different(bench: Bench) -> None:
    other = template(cpu_request="2")
    async with bench.keeping(bench.parts(TWO)) as before:
        await anyio.sleep(1)
        async with bench.keeping(bench.parts(TWO, given=other)):
            before.ended.set()
            await anyio.sleep(3)
            marks = [pod.metadata.labels[TEMPLATE] for pod in bench.cluster.pods.values()]
            assert marks == [other.mark, other.mark]


async def test_settings_that_were_given_up_give_the_pods_back(bench: Bench) -> None:
    async with bench.keeping(bench.parts(TWO)):
        await anyio.sleep(1)
        async with bench.keeping(bench.parts({"idle_count": 1})):
            await anyio.sleep(60)
            assert bench.count == 1
        await anyio.sleep(3)
        assert bench.count == 2


async def test_pods_elsewhere_are_removed_although_others_follow(bench: Bench) -> None:
    elsewhere = Bench(FakeCluster(bench.cluster.clock), bench.standby)
    moved = replace(elsewhere.parts(TWO), place=("other cluster", *PLACE[1:]))
    async with bench.keeping(bench.parts(TWO)) as before:
        await anyio.sleep(1)
        async with elsewhere.keeping(moved):
            before.ended.set()
            await anyio.sleep(3)
            assert (bench.count, elsewhere.count) == (0, 2)
