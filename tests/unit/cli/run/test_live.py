from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from podlane.cli.run import screen
from podlane.cli.run.live import LiveView
from podlane.model.states import JobState
from tests.unit.cli.terminal import Recorder, Terminal, stream

JOBS = [("root", "one"), ("alpine", "two")]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _view(*, terminal: bool) -> tuple[LiveView, Recorder, Clock]:
    out, recorder = stream(terminal=terminal)
    clock = Clock()
    return LiveView(out, JOBS, clock), recorder, clock


def test_each_line_of_a_trace_carries_the_name_of_its_job() -> None:
    view, recorder, _ = _view(terminal=False)
    view.trace("root", b"hello\nwor")
    view.trace("alpine", b"other\n")
    view.trace("root", b"ld\n")
    assert recorder.getvalue() == "root   | hello\nalpine | other\nroot   | world\n"


def test_without_a_terminal_changes_of_state_are_lines() -> None:
    view, recorder, _ = _view(terminal=False)
    view.state("root", JobState.PENDING)
    view.state("root", JobState.RUNNING)
    view.trace("root", b"no line feed")
    view.state("root", JobState.SUCCESS)
    assert recorder.getvalue().splitlines() == [
        "root   | [running]",
        "root   | no line feed",
        "root   | [success]",
    ]
    assert "\x1b" not in recorder.getvalue()


def test_on_a_terminal_the_states_stand_below_the_traces() -> None:
    view, recorder, clock = _view(terminal=True)
    view.state("root", JobState.RUNNING)
    clock.now = 2.5
    view.trace("root", b"hello\n")
    assert recorder.screen.shown() == [
        "root   | hello",
        "▸ root    one  running  2.5 s",
        "· alpine  two  created",
    ]


def test_a_finished_job_keeps_its_duration() -> None:
    view, recorder, clock = _view(terminal=True)
    view.state("root", JobState.RUNNING)
    clock.now = 1.0
    view.state("root", JobState.SUCCESS)
    clock.now = 9.0
    view.tick()
    assert "✓ root    one  success  1.0 s" in recorder.screen.shown()


def test_closing_removes_the_states_and_keeps_the_traces() -> None:
    view, recorder, _ = _view(terminal=True)
    view.state("root", JobState.RUNNING)
    view.trace("root", b"hello\n")
    view.close()
    assert recorder.screen.shown() == ["root   | hello"]


def test_a_tick_that_changes_nothing_writes_nothing() -> None:
    view, recorder, _ = _view(terminal=True)
    view.tick()
    before = recorder.getvalue()
    view.tick()
    assert recorder.getvalue() == before


def test_many_jobs_are_counted_and_only_the_running_ones_shown() -> None:
    out, recorder = stream(terminal=True)
    view = LiveView(out, [(f"job{n}", "test") for n in range(30)], Clock())
    view.state("job7", JobState.RUNNING)
    assert recorder.screen.shown() == ["▸ job7   test  running  0.0 s", "29 created, 1 running"]


rows = st.lists(st.text("abc", min_size=1, max_size=5), max_size=4)


@given(st.lists(st.tuples(rows, st.lists(st.text("xyz", min_size=1, max_size=5), max_size=2))))
def test_whatever_was_painted_the_screen_shows_the_log_and_the_last_region(
    frames: list[tuple[list[str], list[str]]],
) -> None:
    terminal, region, log = Terminal(), list[str](), list[str]()
    for new, above in frames:
        terminal.write(screen.repaint(region, new, "".join(f"{line}\n" for line in above)))
        log += above
        region = new
    assert terminal.shown() == log + region


def test_every_line_of_a_chunk_has_the_name_of_its_job() -> None:
    view, recorder, _ = _view(terminal=False)
    view.trace("root", b"one  \n\ntwo\n\x1b[2Jthree\n")
    assert recorder.getvalue() == "root   | one\nroot   |\nroot   | two\nroot   | three\n"


def test_the_jobs_of_a_child_stand_below_its_bridge() -> None:
    view, recorder, _ = _view(terminal=True)
    view.add([("root > lint", "check"), ("root > build", "make")], below="root")
    view.add([("root > lint > deep", "test")], below="root > lint")
    view.trace("root > lint", b"hello\n")
    assert recorder.screen.shown() == [
        "root > lint        | hello",
        "· root                one  created",
        "· root > lint         check  created",
        "· root > lint > deep  test  created",
        "· root > build        make  created",
        "· alpine              two  created",
    ]


def test_a_long_name_of_a_childs_job_keeps_its_end() -> None:
    view, recorder, _ = _view(terminal=False)
    view.add([("root > a-name-of-more-than-thirty-characters", "check")], below="root")
    view.trace("root > a-name-of-more-than-thirty-characters", b"x\n")
    view.ended("root", "failed")
    assert recorder.getvalue().splitlines() == [
        "…-of-more-than-thirty-characters | x",
        f"{'root':<32} | [child pipeline: failed]",
    ]
