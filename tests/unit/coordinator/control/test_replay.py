"""What is new in a stream of events that begins again."""

from __future__ import annotations

import pytest

from podlane.coordinator.control.replay import Replay
from podlane.coordinator.events import (
    ChildPipelineCreated,
    ChildPipelineFinished,
    CoordinatorEvent,
    JobStateChanged,
    PipelineFinished,
    TraceAppended,
)
from podlane.model.states import JobState


def state(state: JobState, at: float, job: int = 1) -> JobStateChanged:
    return JobStateChanged(pipeline_id=1, job_id=job, name="a", stage="test", state=state, at=at)


def trace(data: bytes, job: int = 1) -> TraceAppended:
    return TraceAppended(pipeline_id=1, job_id=job, name="a", data=data)


def ended(status: str, seconds: float) -> ChildPipelineFinished:
    return ChildPipelineFinished(pipeline_id=2, status=status, duration_seconds=seconds)


PENDING, RUNNING = state(JobState.PENDING, 1.0), state(JobState.RUNNING, 2.0)
FAILED, SUCCESS = state(JobState.FAILED, 3.0), state(JobState.SUCCESS, 5.0)
AGAIN = state(JobState.PENDING, 4.0)
OTHER = state(JobState.PENDING, 1.0, job=2)
CHILD = ChildPipelineCreated(pipeline_id=2, parent_id=1, bridge="go", jobs=[])
END = PipelineFinished(pipeline_id=1, status="success", duration_seconds=9.0)


@pytest.mark.parametrize(
    ("first", "second", "news"),
    [
        ([PENDING, RUNNING], [PENDING, RUNNING, SUCCESS], [SUCCESS]),
        # A coordinator that was started again has only the last state, at the job's creation.
        ([PENDING, RUNNING], [state(JobState.RUNNING, 0.0), SUCCESS], [SUCCESS]),
        ([PENDING, RUNNING], [state(JobState.SUCCESS, 0.0)], [state(JobState.SUCCESS, 0.0)]),
        # A state that comes back is news.
        ([PENDING, RUNNING], [PENDING, RUNNING, FAILED, AGAIN], [FAILED, AGAIN]),
        ([PENDING], [PENDING, OTHER], [OTHER]),
        ([trace(b"one\ntw")], [trace(b"one\n"), trace(b"two\n")], [trace(b"o\n")]),
        ([trace(b"one\n"), trace(b"two\n")], [trace(b"one\ntwo\n")], []),
        ([trace(b"one\n")], [trace(b"o"), trace(b"ne\n"), trace(b"two\n")], [trace(b"two\n")]),
        ([trace(b"x", job=1)], [trace(b"x", job=2)], [trace(b"x", job=2)]),
        ([trace(b"one\ntwo\n")], [trace(b"one\n")], []),
        ([CHILD], [CHILD, ended("failed", 4.0)], [ended("failed", 4.0)]),
        ([CHILD, ended("manual", 4.0)], [CHILD, ended("manual", 4.0), ended("success", 9.0)],
         [ended("success", 9.0)]),
        ([], [END], [END]),
    ],
)  # fmt: skip
def test_a_second_stream_tells_only_what_the_first_did_not(
    first: list[CoordinatorEvent], second: list[CoordinatorEvent], news: list[CoordinatorEvent]
) -> None:
    replay = Replay()
    replay.begin()
    assert [replay.new(event) for event in first] == first
    replay.begin()
    assert [new for event in second if (new := replay.new(event)) is not None] == news


def test_a_third_stream_goes_on_behind_the_longest() -> None:
    replay = Replay()
    seen = []
    for stream in ([b"abcd"], [b"ab"], [b"a", b"bcde"], [b"abcdef"]):
        replay.begin()
        seen += [
            new.data for data in stream if isinstance(new := replay.new(trace(data)), TraceAppended)
        ]
    assert seen == [b"abcd", b"e", b"f"]
