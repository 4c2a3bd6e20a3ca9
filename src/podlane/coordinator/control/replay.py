"""What is new in a stream of events that begins again. Pure.

A coordinator tells everything about a pipeline from its beginning, and one that was started again has
only the last state of each job to tell. Who watches over several streams must see nothing twice.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import msgspec

from podlane.coordinator.events import (
    ChildPipelineCreated,
    ChildPipelineFinished,
    CoordinatorEvent,
    JobStateChanged,
    PipelineFinished,
    TraceAppended,
)
from podlane.model.states import JobState


@dataclass(slots=True)
class _Trace:
    """Bytes of a job's trace: ``shown`` in all streams, ``here`` in this one."""

    shown: int = 0
    here: int = 0


@dataclass(slots=True)
class Replay:
    """What a watcher has seen. Call :meth:`begin` before each stream."""

    _traces: dict[int, _Trace] = field(default_factory=dict)
    _states: dict[int, JobState] = field(default_factory=dict)
    _moves: defaultdict[int, set[tuple[JobState, float]]] = field(
        default_factory=lambda: defaultdict(set)
    )
    _children: set[ChildPipelineFinished | int] = field(default_factory=set)

    def begin(self) -> None:
        """Note that a stream begins."""
        for trace in self._traces.values():
            trace.here = 0

    def new(self, event: CoordinatorEvent) -> CoordinatorEvent | None:
        """Return the event, or what is new of it; None where all of it was seen before."""
        match event:
            case TraceAppended():
                return self._trace(event)
            case JobStateChanged():
                return event if self._moved(event) else None
            case ChildPipelineCreated():
                return event if self._first(event.pipeline_id) else None
            case ChildPipelineFinished():
                return event if self._first(event) else None
            case PipelineFinished():
                return event

    def _trace(self, event: TraceAppended) -> TraceAppended | None:
        trace = self._traces.setdefault(event.job_id, _Trace())
        known = max(trace.shown - trace.here, 0)
        trace.here += len(event.data)
        trace.shown = max(trace.shown, trace.here)
        data = event.data[known:]
        return msgspec.structs.replace(event, data=data) if data else None

    def _moved(self, event: JobStateChanged) -> bool:
        moves, move = self._moves[event.job_id], (event.state, event.at)
        # One that was started again tells the state with another time.
        moved = move not in moves and self._states.get(event.job_id) is not event.state
        moves.add(move)
        if moved:
            self._states[event.job_id] = event.state
        return moved

    def _first(self, seen: ChildPipelineFinished | int) -> bool:
        if seen in self._children:
            return False
        self._children.add(seen)
        return True
