"""The trace's state machines, without bytes, clocks or sockets."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.gitlab import answers
from podlane.gitlab.answers import PatchOutcome, PatchResult, UpdateOutcome, UpdateResult
from podlane.gitlab.trace import (
    MAX_PATCH_BYTES,
    FinalCheck,
    Flushed,
    SendKeepalive,
    SendPatch,
    Signal,
    Stopped,
    TraceReceiver,
    TraceSender,
    Wait,
)


def taken(end: int, interval: float | None = None, *, cancel: bool = False) -> PatchResult:
    return PatchResult(
        outcome=PatchOutcome.SUCCEEDED,
        next_offset=end,
        interval_seconds=interval,
        cancel_requested=cancel,
    )


def mismatch(stored: int | None) -> PatchResult:
    return PatchResult(outcome=PatchOutcome.RANGE_MISMATCH, next_offset=stored)


def test_the_first_bytes_are_sent_at_once() -> None:
    sender = TraceSender(now=100.0)
    assert sender.next(size=5, now=100.0, closed=False) == SendPatch(start=0, end=5)


def test_the_next_patch_waits_for_the_announced_interval() -> None:
    sender = TraceSender(now=0.0)
    sender.on_patch(taken(5, interval=1.0), now=0.0, closed=False)
    assert sender.next(size=9, now=0.25, closed=False) == Wait(seconds=0.75)
    assert sender.next(size=9, now=1.0, closed=False) == SendPatch(start=5, end=9)


def test_a_full_patch_is_not_held_back() -> None:
    sender = TraceSender(now=0.0)
    sender.on_patch(taken(5), now=0.0, closed=False)
    action = sender.next(size=5 + 3 * MAX_PATCH_BYTES, now=0.0, closed=False)
    assert action == SendPatch(start=5, end=5 + MAX_PATCH_BYTES)


def test_silence_is_ended_by_a_keepalive() -> None:
    sender = TraceSender(now=0.0, interval_seconds=60.0)
    assert sender.next(size=0, now=0.0, closed=False) == Wait(seconds=30.0, early=True)
    assert sender.next(size=0, now=30.0, closed=False) == SendKeepalive()
    sender.on_keepalive(UpdateResult(outcome=UpdateOutcome.SUCCEEDED), now=30.0)
    assert sender.next(size=0, now=31.0, closed=False) == Wait(seconds=29.0, early=True)


@pytest.mark.parametrize(
    ("interval", "keepalive"), [(0.1, 2.0), (1.0, 2.0), (3.0, 6.0), (15.0, 30.0), (600.0, 30.0)]
)
def test_a_closely_watched_job_hears_of_a_cancel_soon(interval: float, keepalive: float) -> None:
    assert TraceSender(now=0.0, interval_seconds=interval).keepalive_seconds == keepalive


def test_the_dynamic_keepalive_follows_the_interval() -> None:
    sender = TraceSender(now=0.0, dynamic_keepalive=True)
    assert sender.keepalive_seconds == 30.0
    sender.on_patch(taken(0, interval=60.0), now=0.0, closed=False)
    assert sender.keepalive_seconds == 240.0


def test_cancel_is_told_once() -> None:
    sender = TraceSender(now=0.0)
    assert sender.on_patch(taken(1, cancel=True), now=0.0, closed=False) == (Signal.CANCEL,)
    assert sender.on_patch(taken(2, cancel=True), now=3.0, closed=False) == ()


def test_abort_stops_the_trace() -> None:
    sender = TraceSender(now=0.0)
    result = PatchResult(outcome=PatchOutcome.ABORT, message="job is canceled")
    assert sender.on_patch(result, now=0.0, closed=False) == (Signal.ABORT,)
    assert sender.next(size=9, now=9.0, closed=False) == Stopped(message="job is canceled")


def test_not_found_is_survived_while_running_and_ends_a_closed_trace() -> None:
    sender = TraceSender(now=0.0)
    sender.on_patch(PatchResult(outcome=PatchOutcome.NOT_FOUND), now=0.0, closed=False)
    assert sender.next(size=3, now=3.0, closed=False) == SendPatch(start=0, end=3)
    sender.on_patch(PatchResult(outcome=PatchOutcome.NOT_FOUND), now=3.0, closed=True)
    assert isinstance(sender.next(size=3, now=3.0, closed=True), Stopped)


def test_a_failed_patch_is_repeated_from_the_same_offset_after_an_interval() -> None:
    sender = TraceSender(now=0.0)
    sender.on_patch(PatchResult(outcome=PatchOutcome.FAILED), now=0.0, closed=True)
    assert sender.next(size=3, now=1.0, closed=True) == Wait(seconds=2.0)
    assert sender.next(size=3, now=3.0, closed=True) == SendPatch(start=0, end=3)


def test_the_coordinator_moves_the_offset_backward_and_forward() -> None:
    sender = TraceSender(now=0.0)
    now = 0.0
    walk = [(0, taken(3)), (3, mismatch(9)), (9, mismatch(6)), (6, taken(13))]
    for expected, answer in walk:
        assert sender.next(size=13, now=now, closed=True) == SendPatch(start=expected, end=13)
        sender.on_patch(answer, now=now, closed=True)
    assert sender.next(size=13, now=now, closed=True) == Flushed()


def test_the_same_mismatch_again_is_not_repeated_in_a_hurry() -> None:
    sender = TraceSender(now=0.0)
    sender.on_patch(mismatch(4), now=0.0, closed=True)
    assert isinstance(sender.next(size=9, now=0.0, closed=True), SendPatch)
    sender.on_patch(mismatch(4), now=0.0, closed=True)
    assert sender.next(size=9, now=0.0, closed=True) == Wait(seconds=3.0)


def test_a_mismatch_that_does_not_say_where_starts_over() -> None:
    sender = TraceSender(now=0.0, sent=7)
    sender.on_patch(mismatch(None), now=0.0, closed=False)
    assert sender.sent == 0


def test_a_coordinator_that_claims_more_than_there_is_gets_the_result_to_check() -> None:
    sender = TraceSender(now=0.0)
    sender.on_patch(mismatch(12), now=0.0, closed=True)
    assert sender.next(size=9, now=0.0, closed=True) == Flushed()
    assert isinstance(sender.next(size=9, now=0.0, closed=False), Wait)


@pytest.mark.parametrize(
    ("status", "headers", "outcome", "offset"),
    [
        (202, {}, PatchOutcome.SUCCEEDED, 12),
        (202, {"Job-Status": "running"}, PatchOutcome.SUCCEEDED, 12),
        (202, {"Job-Status": "canceled"}, PatchOutcome.ABORT, None),
        (202, {"Job-Status": "failed"}, PatchOutcome.ABORT, None),
        (202, {"Job-Status": "canceling"}, PatchOutcome.SUCCEEDED, 12),
        (403, {}, PatchOutcome.ABORT, None),
        (404, {}, PatchOutcome.NOT_FOUND, None),
        (416, {"Range": "0-5"}, PatchOutcome.RANGE_MISMATCH, 5),
        (416, {}, PatchOutcome.RANGE_MISMATCH, None),
        (200, {}, PatchOutcome.FAILED, None),
        (500, {}, PatchOutcome.FAILED, None),
    ],
)
def test_an_answer_to_a_patch_means_what_the_table_says(
    status: int, headers: dict[str, str], outcome: PatchOutcome, offset: int | None
) -> None:
    result = answers.patch_result(status, headers, end=12)
    assert (result.outcome, result.next_offset) == (outcome, offset)
    assert result.cancel_requested == (headers.get("Job-Status") == "canceling")


@pytest.mark.parametrize(
    ("status", "job_status", "outcome"),
    [
        (200, "", UpdateOutcome.SUCCEEDED),
        (200, "canceling", UpdateOutcome.SUCCEEDED),
        (200, "canceled", UpdateOutcome.ABORT),
        (202, "running", UpdateOutcome.NOT_COMPLETED),
        (412, "", UpdateOutcome.TRACE_INVALID),
        (403, "", UpdateOutcome.ABORT),
        (404, "", UpdateOutcome.ABORT),
        (500, "", UpdateOutcome.FAILED),
        (302, "", UpdateOutcome.FAILED),
    ],
)
def test_an_answer_to_a_put_means_what_the_table_says(
    status: int, job_status: str, outcome: UpdateOutcome
) -> None:
    assert answers.update_result(status, {"Job-Status": job_status}).outcome is outcome


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [("", None), ("invalid", None), ("-10", None), ("0", None), ("10", 10.0), ("99999", 900.0)],
)
def test_the_announced_interval_is_taken_only_when_usable(raw: str, seconds: float | None) -> None:
    assert answers.trace_interval({"X-GitLab-Trace-Update-Interval": raw}) == seconds


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=10), st.data())
def test_sender_and_receiver_agree_however_patches_are_lost(
    chunks: list[bytes], data: st.DataObject
) -> None:
    """Answers get lost after the bytes were stored; the receiver must end with the exact trace."""
    trace = b"".join(chunks)
    sender, receiver, stored, now = TraceSender(now=0.0), TraceReceiver(), bytearray(), 0.0
    for _ in range(200):
        now += 3.0
        action = sender.next(size=len(trace), now=now, closed=True)
        if isinstance(action, Flushed):
            break
        if not isinstance(action, SendPatch):
            continue
        end = data.draw(st.integers(action.start + 1, action.end))
        if not receiver.accepts(action.start):
            result = mismatch(receiver.size)
        else:
            receiver.append(trace[action.start : end])
            stored += trace[action.start : end]
            lost = data.draw(st.booleans()) and now < 60
            result = PatchResult(outcome=PatchOutcome.FAILED) if lost else taken(end)
        sender.on_patch(result, now=now, closed=True)
    assert bytes(stored) == trace
    assert receiver.checksum == f"crc32:{zlib.crc32(trace):08x}"


def test_the_checksum_is_gitlabs() -> None:
    receiver = TraceReceiver()
    receiver.append(b"This is a basic log line")
    assert receiver.checksum == "crc32:367dfeeb"


@pytest.mark.parametrize(
    ("bytesize", "said", "check"),
    [
        (3, "crc32:352441c2", FinalCheck.MATCHES),
        (None, "", FinalCheck.MATCHES),
        (4, "crc32:352441c2", FinalCheck.MISSING_BYTES),
        (2, "", FinalCheck.DIFFERS),
        (3, "crc32:00000000", FinalCheck.DIFFERS),
    ],
)
def test_the_final_update_is_compared_with_what_is_stored(
    bytesize: int | None, said: str, check: FinalCheck
) -> None:
    receiver = TraceReceiver()
    receiver.append(b"abc")
    assert receiver.check(bytesize=bytesize, said=said) is check
