"""The Secret of a pod that is made again, and what a successor reads from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import pytest

from podlane.executors.base import Progress
from podlane.executors.kubernetes.planning import fallback
from podlane.executors.kubernetes.planning.fallback import PullAttempt
from podlane.executors.kubernetes.requests.remake import Made, Remaker, find
from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import Json, JsonObject, obj
from podlane.kube import errors
from podlane.kube.client import KubeClient
from podlane.kube.informer import PodWatch
from podlane.kube.types import ObjectMeta, Pod
from podlane.model.failures import FailureReason
from tests.unit.executors.kubernetes.samples import pod_plan, settings

pytestmark = pytest.mark.anyio
_T = TypeVar("_T")
FAILED = PullAttempt(
    container="build", image="alpine", policy="Always", reason="ErrImagePull",
    message="no route", failure=FailureReason.IMAGE_PULL_FAILURE,
)  # fmt: skip
PLAN = pod_plan(configured=settings(pull_policy=["always", "never"]))
OWNER: Json = [{"kind": "Pod", "name": "pod", "uid": "1"}]


class Cluster:
    """Has one Secret. ``rights``: verbs that the manager may use on it."""

    def __init__(self, *rights: str, exists: bool = True) -> None:
        self._rights = rights
        self._exists = exists
        self.secret: JsonObject = {
            "metadata": {"name": "pod", "annotations": {"a": "b"}, "ownerReferences": OWNER},
            "data": {"plan": "x"},
        }

    def _check(self, verb: str) -> None:
        if verb not in self._rights:
            raise errors.failure(403, "Forbidden", f"cannot {verb} secrets")
        if not self._exists:
            raise errors.not_found("secrets", "pod")

    async def patch(self, resource: str, namespace: str, name: str, patch: Json) -> JsonObject:
        self._check("patch")
        change = obj(patch, "metadata")
        known = obj(self.secret, "metadata")
        notes: Json = {**obj(known, "annotations"), **obj(change, "annotations")}
        self.secret["metadata"] = {**known, **change, "annotations": notes}
        return self.secret

    async def get(self, resource: str, namespace: str, name: str) -> JsonObject:
        self._check("get")
        return dict(self.secret)

    async def update(self, resource: str, namespace: str, name: str, new: JsonObject) -> JsonObject:
        self._check("update")
        self.secret = new
        return new


async def once(call: Callable[[], Awaitable[_T]], /) -> _T:
    return await call()


def remaker(cluster: Cluster, made: Made | None = None) -> Remaker:
    return Remaker(cast("KubeClient", cluster), "ns", "pod", made or Made(owned=True), once)


@pytest.mark.parametrize("rights", [("patch", "get"), ("get", "update")])
async def test_a_noted_secret_stays_without_its_pod_and_says_why(rights: tuple[str, ...]) -> None:
    cluster, made = Cluster(*rights), Made(owned=True)
    own = remaker(cluster, made)
    assert await own.noted() == ()  # it belongs to a pod
    await own.note((FAILED,))
    assert not made.owned
    assert await own.noted() == (FAILED,)
    assert obj(cluster.secret, "metadata", "annotations")["a"] == "b"
    assert cluster.secret["data"] == {"plan": "x"}


async def test_a_secret_that_would_go_with_the_pod_keeps_the_pod() -> None:
    with pytest.raises(errors.ForbiddenError):
        await remaker(Cluster("get")).note((FAILED,))


async def test_a_secret_that_no_pod_owns_needs_no_note() -> None:
    await remaker(Cluster("get"), Made(owned=False)).note((FAILED,))


class Watch:
    def __init__(self, *pods: Pod) -> None:
        self.pods = {pod.metadata.name: pod for pod in pods}


def there(*, going: bool = False, failures: tuple[PullAttempt, ...] = ()) -> Watch:
    meta = ObjectMeta(
        name=PLAN.name, uid="1", deletion_timestamp="2026-01-01T00:00:00Z" if going else None,
        annotations={fallback.ANNOTATION: fallback.noted(failures)} if failures else {},
    )  # fmt: skip
    return Watch(Pod(metadata=meta))


async def noted() -> Remaker:
    own = remaker(Cluster("patch", "get"))
    await own.note((FAILED,))
    return own


async def test_a_pod_is_followed_with_what_failed_before_it() -> None:
    watch = cast("PodWatch", there(failures=(FAILED,)))
    found = await find(PLAN, await noted(), watch, Progress())
    assert (found.uid, found.failures, found.unfinished) == ("1", (FAILED,), False)


@pytest.mark.parametrize("watch", [Watch(), there(going=True)], ids=["gone", "going"])
async def test_a_pod_that_made_room_is_made_again(watch: Watch) -> None:
    found = await find(PLAN, await noted(), cast("PodWatch", watch), Progress())
    assert (found.failures, found.unfinished) == ((FAILED,), True)


async def test_a_pod_whose_script_has_begun_is_never_made_again() -> None:
    script = next(n for n, stage in enumerate(PLAN.stages) if stage.substage.role == "build")
    told = Progress(records=(2 * script,))
    with pytest.raises(PermanentError, match="does not exist"):
        await find(PLAN, await noted(), cast("PodWatch", Watch()), told)


@pytest.mark.parametrize("cluster", [Cluster("get"), Cluster("get", exists=False)])
async def test_a_pod_that_somebody_else_removed_is_missed(cluster: Cluster) -> None:
    with pytest.raises(PermanentError, match="does not exist"):
        await find(PLAN, remaker(cluster), cast("PodWatch", Watch()), Progress())


async def test_of_a_job_with_one_policy_nothing_is_asked() -> None:
    plan = pod_plan()
    with pytest.raises(PermanentError, match="does not exist"):
        await find(plan, remaker(Cluster()), cast("PodWatch", Watch()), Progress())
