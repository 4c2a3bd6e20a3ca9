from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.kube import errors
from podlane.kube.types import ListMeta, ObjectMeta, Pod, PodList, WatchEvent, WatchType
from podlane.kube.watch import Gone, Lines, PodView, Seen, decode


def pod(name: str, version: int, uid: str = "1") -> Pod:
    return Pod(metadata=ObjectMeta(name=name, uid=uid, resource_version=str(version)))


def listed(version: int, *pods: Pod) -> PodList:
    return PodList(metadata=ListMeta(resource_version=str(version)), items=pods)


def event(kind: WatchType, one: Pod) -> WatchEvent:
    return WatchEvent(type=kind, pod=one)


@given(st.lists(st.binary(max_size=8).filter(lambda b: b"\n" not in b and b.strip())), st.data())
def test_lines_come_out_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter, seen = Lines(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        seen += splitter.feed(stream[:cut])
        stream = stream[cut:]
    assert seen == lines


def test_only_line_feeds_split() -> None:
    assert Lines().feed(b"a\r\x0b\x0cb\x1c\n") == [b"a\r\x0b\x0cb\x1c"]


def test_an_error_line_is_raised_by_its_meaning() -> None:
    line = b'{"type":"ERROR","object":{"status":"Failure","reason":"Expired","code":410}}'
    with pytest.raises(errors.GoneError):
        decode(line)
    with pytest.raises(errors.UnreachableError, match="unreadable line"):
        decode(b'{"type":"ADDED"}')


def test_a_pod_line_is_decoded() -> None:
    raw = {"type": "MODIFIED", "object": {"metadata": {"name": "p", "resourceVersion": "7"}}}
    decoded = decode(msgspec.json.encode(raw))
    assert (decoded.type, decoded.pod.metadata.name) == (WatchType.MODIFIED, "p")
    assert decoded.resource_version == "7"


def test_events_become_states() -> None:
    view = PodView()
    first, second = pod("a", 1), pod("a", 2)
    assert view.apply(event(WatchType.ADDED, first)) == [Seen(name="a", state=first)]
    assert view.apply(event(WatchType.MODIFIED, first)) == []
    assert view.apply(event(WatchType.MODIFIED, second)) == [Seen(name="a", state=second)]
    assert view.apply(event(WatchType.DELETED, second)) == [Seen(name="a", state=Gone(last=second))]
    assert view.pods == {}


def test_a_bookmark_moves_only_the_version() -> None:
    view = PodView()
    assert view.apply(event(WatchType.BOOKMARK, pod("", 9))) == []
    assert view.resource_version == "9"


def test_a_list_tells_what_the_watch_missed() -> None:
    view = PodView()
    view.replace(listed(3, pod("stays", 1), pod("changes", 2), pod("goes", 3), pod("again", 3)))
    changed, reborn = pod("changes", 5), pod("again", 6, uid="2")
    seen = view.replace(listed(7, pod("stays", 1), changed, reborn))
    assert seen == [
        Seen(name="goes", state=Gone(last=pod("goes", 3))),
        Seen(name="again", state=Gone(last=pod("again", 3))),
        Seen(name="changes", state=changed),
        Seen(name="again", state=reborn),
    ]
    assert view.resource_version == "7"


def test_another_incarnation_means_that_the_first_is_gone() -> None:
    view = PodView()
    view.apply(event(WatchType.ADDED, pod("a", 1)))
    other = pod("a", 5, uid="2")
    assert view.apply(event(WatchType.ADDED, other)) == [
        Seen(name="a", state=Gone(last=pod("a", 1))),
        Seen(name="a", state=other),
    ]
