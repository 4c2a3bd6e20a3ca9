"""List, then watch: the lines of a watch, and what they change in our view of the pods. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from podlane.kube import errors
from podlane.kube.types import Event, Pod, PodList, Status, WatchEvent, WatchType

_T = TypeVar("_T")
_MAX_LINE = 16 * 1024 * 1024


class Lines:
    """Splits a stream at line feeds only (``bytes.splitlines`` splits at more)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that are complete now.

        Raises:
            errors.UnreachableError: a line is absurdly long.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            raise errors.UnreachableError("a line of the watch is longer than 16 MiB")
        return [line for line in lines if line.strip()]


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


def decode(line: bytes) -> WatchEvent:
    """Return what one line of a watch of pods says.

    Raises:
        errors.ApiError: it is an ERROR event (410 is ``GoneError``).
        errors.UnreachableError: it cannot be read.
    """
    kind, pod = _decoded(line, Pod, "pods")
    return WatchEvent(type=kind, pod=pod)


def decode_event(line: bytes) -> Event | None:
    """Return the event that one line of a watch of events tells of; None: it tells of none.

    Raises:
        errors.ApiError, errors.UnreachableError: as :func:`decode`.
    """
    kind, found = _decoded(line, Event, "events")
    return found if kind in (WatchType.ADDED, WatchType.MODIFIED) else None


def _decoded(line: bytes, kind: type[_T], what: str) -> tuple[WatchType, _T]:
    try:
        decoded = msgspec.json.decode(line, type=_Line)
        if decoded.type == WatchType.ERROR:
            status = msgspec.json.decode(decoded.object, type=Status)
            raise errors.from_status(status, f"cannot watch {what}")
        return WatchType(decoded.type), msgspec.json.decode(decoded.object, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        text = f"unreadable line in the watch of {what}: {error}"
        raise errors.UnreachableError(text) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The pod does not exist any more. ``last`` is how it was last seen."""

    last: Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is new about the pod of this name."""

    name: str
    state: Pod | Gone


class PodView:
    """Our view of the pods of one watch: fed with lists and events, says what changed."""

    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}
        self.resource_version = ""

    def replace(self, listed: PodList) -> list[Seen]:
        """Take over a list. Pods that are missing in it, or are other incarnations, are gone."""
        self.resource_version = listed.resource_version
        fresh = {pod.metadata.name: pod for pod in listed.items}
        changes: list[Seen] = []
        for name, old in self.pods.items():
            new = fresh.get(name)
            if new is None or new.metadata.uid != old.metadata.uid:
                changes.append(Seen(name=name, state=Gone(last=old)))
        for name, pod in fresh.items():
            if self._is_news(pod):
                changes.append(Seen(name=name, state=pod))
        self.pods = fresh
        return changes

    def apply(self, event: WatchEvent) -> list[Seen]:
        """Take over one event of the watch."""
        pod, name = event.pod, event.pod.metadata.name
        if event.resource_version:
            self.resource_version = event.resource_version
        if event.type is WatchType.BOOKMARK:
            return []
        old = self.pods.get(name)
        changes: list[Seen] = []
        if event.type is WatchType.DELETED:
            self.pods.pop(name, None)
            return [Seen(name=name, state=Gone(last=pod))]
        if old is not None and old.metadata.uid != pod.metadata.uid:
            changes.append(Seen(name=name, state=Gone(last=old)))
        if self._is_news(pod):
            changes.append(Seen(name=name, state=pod))
        self.pods[name] = pod
        return changes

    def _is_news(self, pod: Pod) -> bool:
        old = self.pods.get(pod.metadata.name)
        if old is None or old.metadata.uid != pod.metadata.uid:
            return True
        return old.metadata.resource_version != pod.metadata.resource_version
