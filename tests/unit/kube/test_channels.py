from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from podlane.kube import channels
from podlane.kube.channels import ExecStatus


@given(st.integers(0, 255), st.binary())
def test_a_frame_is_channel_and_data(channel: int, data: bytes) -> None:
    assert channels.split(channels.frame(channel, data)) == (channel, data)


@given(st.integers(0, 255))
def test_an_exit_code_survives(code: int) -> None:
    assert channels.decode_status(channels.encode_exit(code)).exit_code == code


def test_closing_stdin_is_the_frame_that_kubectl_sends() -> None:
    assert channels.end_of(channels.Channel.STDIN) == b"\xff\x00"


@given(st.binary().filter(lambda data: b"Success" not in data and b"ExitCode" not in data))
def test_an_unreadable_status_is_never_success(data: bytes) -> None:
    assert channels.decode_status(data).exit_code is None


def test_a_failure_without_an_exit_code_is_unknown() -> None:
    status = channels.decode_status(channels.encode_failure("no such file"))
    assert status == ExecStatus(exit_code=None, message="no such file", reason="InternalError")


def test_a_status_that_is_neither_success_nor_an_exit_code_is_unknown() -> None:
    for raw in (b"{}", b'{"status":"Failure","reason":"NonZeroExitCode"}'):
        assert channels.decode_status(raw).exit_code is None


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_sizes_survive(width: int, height: int) -> None:
    assert channels.decode_size(channels.encode_size(width, height)) == (width, height)
    assert channels.decode_size(b"{}") is None
