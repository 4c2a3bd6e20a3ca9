"""What a container tells of itself: its record, its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import anyio

from podlane.node.kubelet.podspec import Container
from podlane.node.kubelet.prepare import Place
from podlane.node.kubelet.states import ContainerRecord, Waiting


class Voice:
    """The record of one container, and who hears of its changes.

    ``attempted``: a first start has succeeded or failed.
    """

    def __init__(self, container: Container, record: ContainerRecord, *, init: bool) -> None:
        self.record = record
        self.report: Callable[[], None] = lambda: None
        self.attempted = anyio.Event()
        self._path = f"{'initContainers' if init else 'containers'}{{{container.name}}}"

    def tell(self, record: ContainerRecord) -> None:
        """Change the record."""
        self.record = record
        self.report()

    def event(self, place: Place, reason: str, message: str) -> None:
        """Record what went as it should."""
        place.node.events.normal(place.context.pod, reason, message, self._path)

    def warn(self, place: Place, reason: str, message: str) -> None:
        """Record what did not."""
        place.node.events.warning(place.context.pod, reason, message, self._path)

    def wait_with(self, place: Place, reason: str, message: str) -> None:
        """Say why the container does not run yet."""
        self.attempted.set()
        state = Waiting(reason=reason, message=message)
        if state != self.record.state:
            self.tell(replace(self.record, state=state))
            if reason not in {"ErrImagePull", "ImagePullBackOff"}:
                self.warn(place, "Failed", f"Error: {message}")
            else:
                self.warn(place, "Failed", f"Error: {reason}")
