from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from random import Random
from typing import cast

import anyio
import pytest

from podlane.executors import base
from podlane.executors.kubernetes.pod.podevents import PodEvents, table
from podlane.kube import errors, watch
from podlane.kube.client import KubeClient
from podlane.kube.errors import UnreachableError
from podlane.kube.types import Event, ObjectMeta

pytestmark = pytest.mark.anyio


def happened(uid: str, reason: str, message: str, count: int = 1) -> Event:
    meta = ObjectMeta(uid=uid, resource_version=f"version of {uid}")
    return Event(metadata=meta, type="Normal", reason=reason, message=message, count=count)


SCHEDULED = happened("1", "Scheduled", "Successfully assigned ns/pod to node-1")
PULLING = happened("2", "Pulling", 'Pulling image\n"alpine"')


def test_the_rows_are_aligned_as_gitlab_runner_does() -> None:
    assert table(SCHEDULED, first=True) == [
        "Type     Reason      Message",
        "Normal   Scheduled   Successfully assigned ns/pod to node-1",
    ]
    assert table(PULLING, first=False) == ['Normal   Pulling   Pulling image "alpine"']


class Cluster:
    """Its watches bring events and end, or fail, one after the other; the last one stays open."""

    def __init__(self, *watches: list[Event] | Exception) -> None:
        self._watches: Iterator[list[Event] | Exception] = iter(watches)
        self.asked: list[tuple[str, str, str]] = []
        self.ended = anyio.Event()

    async def watch_events(
        self, namespace: str, selector: str, version: str
    ) -> AsyncGenerator[Event, None]:
        self.asked.append((namespace, selector, version))
        planned = next(self._watches, None)
        if planned is None:
            self.ended.set()
            await anyio.sleep_forever()
        if isinstance(planned, Exception):
            raise planned
        for each in planned or ():
            yield each


async def told(cluster: Cluster) -> list[str]:
    """What is told before all watches have been used up."""
    lines: list[str] = []

    async def emit(event: base.Event) -> None:
        assert isinstance(event, base.Message)
        lines.append(event.text)

    events = PodEvents(cast("KubeClient", cluster), "ns", "pod", Random(1))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(events.tell, emit)
            await cluster.ended.wait()
            tasks.cancel_scope.cancel()
    return lines


async def test_each_event_is_told_once_over_watches_that_break() -> None:
    again = happened("2", "Pulling", "again", count=2)
    gone = errors.expired(1, 2)
    cluster = Cluster(
        [SCHEDULED], UnreachableError("broken off"), [SCHEDULED, PULLING], gone, [PULLING, again]
    )
    lines = await told(cluster)
    assert lines[0] == "Subscribing to Kubernetes Pod events..."
    assert [line.split()[-1] for line in lines[1:]] == ["Message", "node-1", '"alpine"', "again"]
    assert {asked[:2] for asked in cluster.asked} == {("ns", "involvedObject.name=pod")}
    versions = [asked[2] for asked in cluster.asked]
    assert versions == ["", "version of 1", "version of 1", "version of 2", "", "version of 2"]


async def test_without_the_right_to_watch_the_job_goes_on_and_says_why() -> None:
    lines: list[str] = []

    async def emit(event: base.Event) -> None:
        assert isinstance(event, base.Message)
        lines.append(event.text)

    cluster = Cluster(errors.failure(403, "Forbidden", "events is forbidden"))
    with anyio.fail_after(30):
        await PodEvents(cast("KubeClient", cluster), "ns", "pod", Random(1)).tell(emit)
    assert lines[1] == "the events of the pod cannot be shown: events is forbidden"


def test_only_what_happened_is_taken_from_a_watch() -> None:
    line = b'{"type":"%s","object":{"reason":"Pulled"}}'
    assert watch.decode_event(line % b"ADDED") == Event(reason="Pulled")
    assert watch.decode_event(line % b"DELETED") is None
    with pytest.raises(errors.GoneError):
        watch.decode_event(b'{"type":"ERROR","object":{"code":410,"reason":"Expired"}}')
