"""A follower that cannot run: what it says, and when there is nothing to hope for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import cast

import anyio
import pytest

from podlane.executors.base import Event, Output
from podlane.executors.kubernetes.log.follow import Follower
from podlane.executors.kubernetes.log.trail import Trail
from podlane.executors.kubernetes.outcome.exec_refusals import (
    Beside,
    Refusal,
    Refusals,
    of_error,
    of_status,
)
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.kit.errors import PermanentError
from podlane.kube import errors
from podlane.kube.channels import ExecStatus, decode_status, encode_exit, encode_failure
from podlane.kube.errors import UnreachableError
from podlane.model.substages import GET_SOURCES

pytestmark = pytest.mark.anyio
BROKEN = ExecStatus(exit_code=None, message="the connection broke (close code 1006)")
MISSING = 'exec: "sh": executable file not found in $PATH'


@pytest.mark.parametrize(
    ("status", "printed", "final"),
    [
        (decode_status(encode_exit(127)), "sh: not found", True),
        (decode_status(encode_exit(126)), "OCI runtime exec failed", True),
        (decode_status(encode_failure(MISSING)), "", True),
        (decode_status(encode_failure("container not running (helper)")), "", False),
        (decode_status(encode_exit(2)), "dd: not found", False),
        (decode_status(encode_exit(137)), "", False),
    ],
)
def test_an_answer_is_told_and_final_when_nothing_can_change_it(
    status: ExecStatus, printed: str, final: bool
) -> None:
    refusal = of_status(status, printed)
    assert refusal is not None
    assert refusal.final is final
    assert status.message in refusal.text
    assert refusal.text.endswith(printed)


@pytest.mark.parametrize("status", [BROKEN, decode_status(encode_exit(0))])
def test_neither_a_good_end_nor_a_broken_stream_is_a_refusal(status: ExecStatus) -> None:
    assert of_status(status, "") is None


def test_an_exec_that_could_not_begin_is_judged_by_who_answered() -> None:
    assert of_error(UnreachableError("connection refused")) is None
    assert of_error(errors.failure(502, "BadGateway", "no upstream")) is None
    assert of_error(errors.failure(500, "InternalError", MISSING)) == Refusal(
        text=MISSING, final=True
    )
    assert of_error(errors.not_found("pods", "x")) == Refusal(text='pods "x" not found')


def test_only_a_refusal_that_stays_ends_it() -> None:
    final, soft = Refusal(text="127", final=True), Refusal(text="not running")
    refusals = Refusals()
    assert [refusals.note(each, 0) for each in (final, final, None, final, final)] == [False] * 5
    assert refusals.note(final, 0)
    refusals.reset()
    assert (refusals.note(soft, 100), refusals.note(soft, 109)) == (False, False)
    assert refusals.note(soft, 110)
    assert refusals.last == "not running"


def test_what_is_beside_log_and_records_is_kept_and_the_log_never() -> None:
    runtime, follower = Beside(), Beside()
    assert not runtime.take(1, b"OCI runtime exec failed: no sh")
    assert runtime.text == "OCI runtime exec failed: no sh"
    assert not follower.take(1, b"secret of the job")
    assert follower.take(2, b"stage=x index=0 state=started code=- offset=0 at=1\nsh: dd: not")
    follower.take(2, b" found\n")
    assert follower.text == "sh: dd: not found"


class Session:
    def __init__(self, status: ExecStatus, *output: tuple[int, bytes]) -> None:
        self._status = status
        self._output = output

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        for each in self._output:
            yield each

    async def status(self) -> ExecStatus:
        return self._status


class Pod:
    """Its execs are sessions, or errors, one after the other."""

    def __init__(self, *execs: Session | Exception) -> None:
        self._execs: Iterator[Session | Exception] = iter(execs)

    @asynccontextmanager
    async def follow(self, _: int) -> AsyncIterator[Session]:
        planned = next(self._execs)
        if isinstance(planned, Exception):
            raise planned
        yield planned


def follower(*execs: Session | Exception) -> Follower:
    return Follower(cast("PodDriver", Pod(*execs)), Trail([GET_SOURCES]), Random(1))


async def ignore(_: Event) -> None: ...


async def test_the_job_ends_with_what_the_exec_said() -> None:
    refused = Session(decode_status(encode_exit(127)), (2, b"/tools/sh: not found\n"))
    with anyio.fail_after(30), pytest.raises(PermanentError, match="/tools/sh: not found"):
        await follower(refused, refused, refused).run(ignore)


async def test_what_passes_is_outlasted_and_forgotten() -> None:
    refused = Session(decode_status(encode_exit(127)))
    whole = Session(
        decode_status(encode_exit(0)),
        (1, b"log\n"),
        (
            2,
            b"stage=get_sources index=0 state=finished code=0 offset=4 at=1\npos=4\ndone=running\n",
        ),
    )
    away = UnreachableError("connection refused")
    tried = (refused, away, refused, Session(BROKEN), refused, refused)
    told: list[Event] = []

    async def emit(event: Event) -> None:
        told.append(event)

    following = follower(*tried, whole)
    with anyio.fail_after(60):
        await following.run(emit)
    assert [event.data for event in told if isinstance(event, Output)] == [b"log\n"]
    assert following.trouble == ""
