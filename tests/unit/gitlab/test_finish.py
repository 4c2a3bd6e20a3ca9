"""The final update: until the result is accepted, and no longer."""

from __future__ import annotations

import random

from podlane.gitlab.answers import PatchOutcome, PatchResult, UpdateOutcome, UpdateResult
from podlane.gitlab.finish import FinalUpdate, Finished, PutFinal
from podlane.gitlab.trace import SendPatch, TraceSender, Wait


def final(sent: int = 0, **kwargs: float) -> FinalUpdate:
    sender = TraceSender(now=0.0, sent=sent)
    return FinalUpdate(sender, now=0.0, random=random.Random(1), **kwargs)  # type: ignore[arg-type] # only patience is given


def put(outcome: UpdateOutcome, message: str = "") -> UpdateResult:
    return UpdateResult(outcome=outcome, message=message)


def test_the_rest_of_the_trace_comes_before_the_state() -> None:
    update = final()
    assert update.next(size=4, now=0.0) == SendPatch(start=0, end=4)
    update.on_patch(PatchResult(outcome=PatchOutcome.SUCCEEDED, next_offset=4), now=0.0)
    assert update.next(size=4, now=0.0) == PutFinal()
    update.on_put(put(UpdateOutcome.SUCCEEDED), now=0.0)
    assert update.next(size=4, now=0.0) == Finished(delivered=True)


def test_not_completed_is_asked_again_after_a_moment() -> None:
    update = final()
    update.on_put(put(UpdateOutcome.NOT_COMPLETED), now=0.0)
    assert update.next(size=0, now=0.0) == Wait(seconds=1.0)
    assert update.next(size=0, now=1.0) == PutFinal()


def test_a_differing_trace_is_sent_again_from_the_start() -> None:
    update = final(sent=9)
    assert update.next(size=9, now=0.0) == PutFinal()
    update.on_put(put(UpdateOutcome.TRACE_INVALID), now=0.0)
    assert update.next(size=9, now=0.0) == SendPatch(start=0, end=9)


def test_an_abort_is_the_end() -> None:
    update = final()
    update.on_put(put(UpdateOutcome.ABORT, "canceled"), now=0.0)
    assert update.next(size=0, now=0.0) == Finished(delivered=False, message="canceled")


def test_a_vanished_job_is_the_end() -> None:
    update = final()
    update.on_patch(PatchResult(outcome=PatchOutcome.NOT_FOUND), now=0.0)
    action = update.next(size=4, now=0.0)
    assert isinstance(action, Finished)
    assert not action.delivered


def test_twenty_minutes_without_a_coordinator_lose_nothing() -> None:
    update, now, puts = final(), 0.0, 0
    while now < 20 * 60:
        action = update.next(size=0, now=now)
        if isinstance(action, PutFinal):
            puts += 1
            update.on_put(put(UpdateOutcome.FAILED, "no answer"), now=now)
        else:
            assert isinstance(action, Wait)
            now += action.seconds
    assert 10 < puts < 60
    update.on_put(put(UpdateOutcome.SUCCEEDED), now=now)
    assert update.next(size=0, now=now) == Finished(delivered=True)


def test_it_gives_up_with_a_sentence_when_tries_and_patience_are_used_up() -> None:
    update, now = final(patience_seconds=10.0), 0.0
    action = update.next(size=0, now=now)
    while not isinstance(action, Finished):
        if isinstance(action, Wait):
            now += action.seconds
        else:
            update.on_put(put(UpdateOutcome.FAILED, "no answer"), now=now)
        action = update.next(size=0, now=now)
    assert "gave up after 10 attempts" in action.message
    assert "no answer" in action.message
