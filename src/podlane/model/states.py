"""Job and pipeline states, and the table of what may follow what.

The table is the coordinator's (GitLab's) view; source: GitLab's ``Ci::HasStatus`` and
runner-protocol Appendix C. ``offered`` is ours: handed out, not yet acknowledged by the runner's
first PUT (two-phase commit); GitLab keeps it inside ``pending``. ``run`` and ``resume`` happen to
bridges alone, which no runner takes: they start a child pipeline, and follow it where they are told to.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands. Wire words, one *l* in canceled."""

    CREATED = "created"
    PENDING = "pending"
    OFFERED = "offered"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"
    MANUAL = "manual"


class JobEvent(StrEnum):
    """What can happen to a job."""

    ENQUEUE = "enqueue"
    SKIP = "skip"
    HOLD = "hold"
    OFFER = "offer"
    ACKNOWLEDGE = "acknowledge"
    WITHDRAW = "withdraw"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL_GRACEFULLY = "cancel_gracefully"
    CANCEL = "cancel"
    LOSE = "lose"
    EXPIRE = "expire"
    RUN = "run"
    RESUME = "resume"


TRANSITIONS: dict[tuple[JobState, JobEvent], JobState] = {
    (JobState.CREATED, JobEvent.ENQUEUE): JobState.PENDING,
    (JobState.CREATED, JobEvent.SKIP): JobState.SKIPPED,
    (JobState.CREATED, JobEvent.HOLD): JobState.MANUAL,
    (JobState.CREATED, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.CREATED, JobEvent.CANCEL_GRACEFULLY): JobState.CANCELED,
    (JobState.MANUAL, JobEvent.ENQUEUE): JobState.PENDING,
    (JobState.MANUAL, JobEvent.SKIP): JobState.SKIPPED,
    (JobState.MANUAL, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.MANUAL, JobEvent.CANCEL_GRACEFULLY): JobState.CANCELED,
    (JobState.MANUAL, JobEvent.RESUME): JobState.RUNNING,
    (JobState.PENDING, JobEvent.OFFER): JobState.OFFERED,
    (JobState.PENDING, JobEvent.RUN): JobState.RUNNING,
    (JobState.PENDING, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.PENDING, JobEvent.CANCEL_GRACEFULLY): JobState.CANCELED,
    (JobState.PENDING, JobEvent.FAIL): JobState.FAILED,
    (JobState.OFFERED, JobEvent.ACKNOWLEDGE): JobState.RUNNING,
    (JobState.OFFERED, JobEvent.WITHDRAW): JobState.PENDING,
    (JobState.OFFERED, JobEvent.SUCCEED): JobState.SUCCESS,
    (JobState.OFFERED, JobEvent.FAIL): JobState.FAILED,
    (JobState.OFFERED, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.OFFERED, JobEvent.CANCEL_GRACEFULLY): JobState.CANCELED,
    (JobState.OFFERED, JobEvent.LOSE): JobState.FAILED,
    (JobState.RUNNING, JobEvent.SUCCEED): JobState.SUCCESS,
    (JobState.RUNNING, JobEvent.FAIL): JobState.FAILED,
    (JobState.RUNNING, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.RUNNING, JobEvent.CANCEL_GRACEFULLY): JobState.CANCELING,
    (JobState.RUNNING, JobEvent.LOSE): JobState.FAILED,
    (JobState.RUNNING, JobEvent.EXPIRE): JobState.FAILED,
    (JobState.RUNNING, JobEvent.HOLD): JobState.MANUAL,
    (JobState.RUNNING, JobEvent.SKIP): JobState.SKIPPED,
    (JobState.CANCELING, JobEvent.SUCCEED): JobState.CANCELED,
    (JobState.CANCELING, JobEvent.FAIL): JobState.CANCELED,
    (JobState.CANCELING, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.CANCELING, JobEvent.LOSE): JobState.CANCELED,
    (JobState.CANCELING, JobEvent.EXPIRE): JobState.FAILED,
    (JobState.SUCCESS, JobEvent.RESUME): JobState.RUNNING,
    (JobState.FAILED, JobEvent.RESUME): JobState.RUNNING,
    (JobState.CANCELED, JobEvent.RESUME): JobState.RUNNING,
    (JobState.SKIPPED, JobEvent.RESUME): JobState.RUNNING,
}

FINISHED = frozenset({JobState.SUCCESS, JobState.FAILED, JobState.CANCELED, JobState.SKIPPED})


class IllegalTransitionError(Exception):
    """An event that the state does not allow; the caller answers it or has a bug."""

    def __init__(self, state: JobState, event: JobEvent) -> None:
        super().__init__(f"a job that is {state} cannot {event}")
        self.state = state
        self.event = event


def advance(state: JobState, event: JobEvent) -> JobState:
    """Return the state after ``event``.

    Raises:
        IllegalTransitionError: the table has no such row.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransitionError(state, event) from None
