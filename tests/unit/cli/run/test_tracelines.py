from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from podlane.cli.run.tracelines import MAX_LINE_CHARACTERS, TraceLines, plain, readable
from podlane.model import sections


def _lines(*chunks: bytes, color: bool = False) -> list[str]:
    reader = TraceLines(color=color)
    texts = [text for chunk in chunks for text in reader.feed(chunk)] + reader.finish()
    return [line for text in texts for line in text.split("\n")]


def test_lines_are_put_together_from_chunks() -> None:
    assert _lines(b"one\ntw", b"o\nthr", b"ee") == ["one", "two", "three"]


def test_a_character_may_be_cut_by_a_chunk() -> None:
    data = "grün\n".encode()
    assert _lines(data[:3], data[3:]) == ["grün"]


def test_bytes_that_are_no_text_do_not_stop_the_view() -> None:
    assert _lines(b"\xff\xfe\n") == ["��"]


def test_section_markers_are_hidden_and_their_description_stays() -> None:
    text = sections.start("get_sources", "Getting source", 1) + "x\n" + sections.end("s", 2)
    assert _lines(text.encode()) == ["Getting source", "x"]


def test_a_line_of_markers_only_is_not_a_line() -> None:
    text = sections.end("a", 1) + "\n" + "next\n"
    assert _lines(text.encode()) == ["next"]


def test_a_progress_bar_shows_its_last_state() -> None:
    assert _lines(b"10%\r50%\r100%\nwindows line\r\n") == ["100%", "windows line"]


def test_the_timestamps_of_gitlab_are_shortened() -> None:
    assert _lines(b"2024-05-22T12:43:46.962646Z 00O hello\n") == ["12:43:46 hello"]


def test_cursor_movements_never_reach_the_terminal() -> None:
    trace = b"\x1b[2J\x1b[10A\x1b]0;title\x07\x1b[31mred\x1b[0m\x1b[?25l\x08\n"
    assert _lines(trace) == ["red"]
    assert _lines(trace, color=True) == ["\x1b[31mred\x1b[0m\x1b[0m"]


def test_a_line_without_end_is_shown_in_pieces() -> None:
    reader = TraceLines(color=False)
    assert reader.feed(b"x" * (MAX_LINE_CHARACTERS + 1)) == ["x" * (MAX_LINE_CHARACTERS + 1)]


def test_lines_of_plain_text_stay_together() -> None:
    trace = b"one\n\ntwo\n\x1b[31mred\x1b[0m\nthree\nfour\n\nfi"
    assert TraceLines(color=False).feed(trace) == ["one\n\ntwo", "red", "three\nfour\n"]


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\x1b[0m", b" ", b"Z "])), st.integers(0, 20))
def test_a_chunk_shows_the_lines_that_its_lines_show(pieces: list[bytes], cut: int) -> None:
    data = b"".join(pieces)
    shown = [readable(line, color=False) for line in data.decode().split("\n")[:-1]]
    reader = TraceLines(color=False)
    texts = [*reader.feed(data[:cut]), *reader.feed(data[cut:])]
    assert [line for text in texts for line in text.split("\n")] == shown


@given(st.binary(max_size=200))
def test_no_escape_survives_without_colours(data: bytes) -> None:
    shown = "\n".join(_lines(data))
    assert "\x1b" not in shown
    assert "\r" not in shown


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=50), st.integers(0, 50))
def test_text_without_controls_is_shown_as_it_is(text: str, cut: int) -> None:
    assert plain(text) == text
    data = text.encode()
    shown = [text] if text else []
    assert _lines(data[:cut], data[cut:]) == shown
