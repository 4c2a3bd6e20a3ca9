from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from podlane.executors.base import Event, Message, Output, Progress, StageFinished, StageStarted
from podlane.executors.kubernetes.log.trail import Trail
from podlane.model import substages

STAGES = (substages.PREPARE_SCRIPT, substages.GET_SOURCES, substages.step("script"))
OUT, ERR = 1, 2


def started(index: int, offset: int) -> bytes:
    name = STAGES[index].name
    return f"stage={name} index={index} state=started code=- offset={offset} at=5.25\n".encode()


def finished(index: int, offset: int, code: int = 0) -> bytes:
    name = STAGES[index].name
    return (
        f"stage={name} index={index} state=finished code={code} offset={offset} at=6.50\n"
    ).encode()


def shown(events: Iterable[Event]) -> list[object]:
    """Events in short: bytes, ``+name``, ``-name=code``."""
    short: list[object] = []
    for event in events:
        match event:
            case Output(data=data):
                if short and isinstance(short[-1], bytes):
                    short[-1] += data
                else:
                    short.append(data)
            case StageStarted(substage=sub):
                short.append(f"+{sub.name}")
            case StageFinished(substage=sub, exit_code=code):
                short.append(f"-{sub.name}={code}")
            case Message(text=text):
                short.append(text)
    return short


WHOLE: list[tuple[int, bytes]] = [
    (ERR, started(0, 0)),
    (OUT, b"prepare"),
    (ERR, finished(0, 7) + started(1, 7)),
    (ERR, b"pos=7\n"),
    (OUT, b"sources"),
    (ERR, finished(1, 14, 3)),
    (ERR, b"pos=14\n"),
    (ERR, b"done=failed\n"),
]
RESULT = [
    "+prepare_script",
    b"prepare",
    "-prepare_script=0",
    "+get_sources",
    b"sources",
    "-get_sources=3",
]


def test_events_come_in_the_order_of_the_job() -> None:
    trail = Trail(STAGES)
    assert shown([event for part in WHOLE for event in trail.feed(*part)]) == RESULT
    assert trail.is_complete()
    assert trail.done == "failed"
    assert trail.ends[1].exit_code == 3


def test_bytes_wait_for_the_records_before_them() -> None:
    trail = Trail(STAGES)
    assert list(trail.feed(OUT, b"preparesources")) == []
    assert trail.position == 0
    events = list(trail.feed(ERR, started(0, 0) + finished(0, 7) + started(1, 7) + b"pos=14\n"))
    assert shown(events) == [*RESULT[:4], b"sources"]


def test_records_wait_for_the_bytes_before_them() -> None:
    trail = Trail(STAGES)
    text = started(0, 0) + b"pos=7\n" + finished(0, 7) + started(1, 7)
    assert shown(trail.feed(ERR, text)) == ["+prepare_script"]
    assert shown(trail.feed(OUT, b"prepare")) == RESULT[1:4]


@given(st.data())
def test_any_interleaving_of_the_two_channels_gives_the_same_events(data: st.DataObject) -> None:
    queues = {
        channel: b"".join(text for where, text in WHOLE if where == channel)
        for channel in (OUT, ERR)
    }
    trail = Trail(STAGES)
    events: list[Event] = []
    while any(queues.values()):
        channel = data.draw(st.sampled_from([c for c in (OUT, ERR) if queues[c]]))
        size = data.draw(st.integers(1, len(queues[channel])))
        events += trail.feed(channel, queues[channel][:size])
        queues[channel] = queues[channel][size:]
    assert shown(events) == RESULT


@given(st.integers(0, len(WHOLE)), st.integers(0, 7))
def test_a_broken_stream_is_resumed_without_loss_and_repetition(parts: int, extra: int) -> None:
    trail = Trail(STAGES)
    events = [event for part in WHOLE[:parts] for event in trail.feed(*part)]
    events += trail.feed(OUT, b"x" * extra)  # held back: never let go by a pos record
    trail.restart()
    rest = b"preparesources"[trail.position :]
    # The follower tells all its records again.
    for channel, text in WHOLE:
        if channel == ERR:
            events += trail.feed(ERR, text)
    events += trail.feed(OUT, rest)
    assert shown(events) == RESULT


def test_a_section_that_is_open_already_is_not_opened_again() -> None:
    trail = Trail(STAGES, substages.PREPARE_SCRIPT)
    assert shown(trail.feed(ERR, started(0, 0) + finished(0, 0))) == ["-prepare_script=0"]


def test_a_section_of_somebody_else_is_closed_first() -> None:
    trail = Trail(STAGES, substages.PREPARE_EXECUTOR)
    assert shown(trail.feed(ERR, started(0, 0))) == ["-prepare_executor=None", "+prepare_script"]


def test_closing_tells_the_end_of_what_was_running() -> None:
    trail = Trail(STAGES)
    list(trail.feed(ERR, started(0, 0)))
    assert shown(trail.close(9.0)) == ["-prepare_script=None"]
    assert list(trail.close(9.0)) == []


def test_a_shortened_log_starts_again_and_is_told() -> None:
    trail = Trail(STAGES)
    list(trail.feed(OUT, b"0123456789"))
    list(trail.feed(ERR, b"pos=10\n"))
    events = list(trail.feed(ERR, b"truncated=0\n"))
    assert "shortened" in str(shown(events)[0])
    list(trail.feed(OUT, b"new"))
    assert trail.position == 0
    assert shown(trail.feed(ERR, b"pos=3\n")) == [b"new"]


@given(st.binary(max_size=200))
def test_no_record_however_strange_raises(garbage: bytes) -> None:
    trail = Trail(STAGES)
    list(trail.feed(ERR, garbage + b"\nstage=x index=99 state=started offset=-1 at=z\n"))
    list(trail.close(0.0))


def test_a_stream_that_loses_its_tail_before_the_last_word_is_read_again() -> None:
    # A cluster's runtime may close the output of an exec before it has passed on all of it.
    trail = Trail(STAGES)
    events = list(trail.feed(ERR, started(0, 0)))
    events += trail.feed(OUT, b"prep")
    events += trail.feed(ERR, finished(0, 7) + b"pos=7\ndone=success\n")
    assert not trail.is_complete()
    trail.restart()
    assert not trail.is_complete()
    assert trail.position == 4
    events += trail.feed(OUT, b"are")
    events += trail.feed(ERR, finished(0, 7) + b"pos=7\ndone=success\n")
    assert trail.is_complete()
    assert shown(events) == ["+prepare_script", b"prepare", "-prepare_script=0"]
    assert trail.ends[0].exit_code == 0


@given(st.integers(0, len(WHOLE)), st.booleans())
def test_another_process_goes_on_where_this_one_was_killed(parts: int, in_the_middle: bool) -> None:
    """Events end to end, whenever the first reader dies; the second gets everything again."""
    first = Trail(STAGES)
    events: list[Event] = []
    told = first.progress
    for part in WHOLE[:parts]:
        for event in first.feed(*part):
            events.append(event)
            told = first.progress
    if in_the_middle and parts < len(WHOLE):
        for event in first.feed(*WHOLE[parts]):
            events.append(event)
            told = first.progress
            break
    second = Trail(STAGES, None, told)
    again = [(channel, data) for channel, data in WHOLE if channel == ERR]
    events += second.feed(OUT, b"preparesources"[told.position :])
    for part in again:
        events += second.feed(*part)
    assert shown(events) == RESULT
    assert second.is_complete()
    assert {index: end.exit_code for index, end in second.ends.items()} == {0: 0, 1: 3}
    assert second.started == {0, 1}


def test_who_takes_over_knows_which_section_is_open() -> None:
    trail = Trail(STAGES, substages.PREPARE_SCRIPT, Progress(position=9, records=(0, 1, 2)))
    assert trail.running == substages.GET_SOURCES
    assert shown(trail.close(9.0)) == ["-get_sources=None"]
    assert Trail(STAGES, substages.PREPARE_SCRIPT, Progress()).running == substages.PREPARE_SCRIPT
