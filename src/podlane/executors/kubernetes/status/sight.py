"""What the status of a pod has shown so far. Pure; times are the caller's."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from podlane.executors.kubernetes.status.observe import (
    Broken,
    Finished,
    Ready,
    Verdict,
    Waiting,
    begun,
    observe,
)
from podlane.kube.types import Pod, StateTerminated
from podlane.kube.watch import Gone


class Sight:
    """The verdict of now, ``since`` when, and what stays true once it was seen.

    ``gate_open``: all containers of the gate have begun.
    """

    def __init__(self, memory_limits: Mapping[str, str], gate: Collection[str]) -> None:
        self._memory_limits = memory_limits
        self._gate = frozenset(gate)
        self.verdict: Verdict = Waiting(phase="Pending", node="")
        self.since = 0.0
        self.build_end: StateTerminated | None = None
        self.build_ended_at: float | None = None
        self.gate_open = not gate

    @property
    def followed(self) -> bool:
        """Whether there is a log to follow."""
        return isinstance(self.verdict, Ready)

    @property
    def started(self) -> bool:
        """Whether all that a script needs has begun."""
        return isinstance(self.verdict, Ready) and self.verdict.begun and self.gate_open

    def see(self, state: Pod | Gone, now: float) -> bool:
        """Take note of a state; return whether there is anything new."""
        opens = not self.gate_open and begun(state, self._gate) == self._gate
        self.gate_open = self.gate_open or opens
        verdict = observe(state, self._memory_limits)
        if verdict == self.verdict:
            return opens
        if not _same_trouble(verdict, self.verdict):
            self.since = now
        self.verdict = verdict
        if isinstance(verdict, Ready | Finished) and verdict.build is not None:
            self.build_end = verdict.build
            self.build_ended_at = self.build_ended_at or now
        return True


def _same_trouble(one: Verdict, other: Verdict) -> bool:
    if isinstance(one, Broken) and isinstance(other, Broken):
        return one.container == other.container
    return False
