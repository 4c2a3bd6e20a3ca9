"""GitLab goes away in the middle of a transfer and comes back, in virtual time."""

from __future__ import annotations

import http.server
import io
import os
import socket
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from podlane.helper import attempts
from podlane.helper.artifacts_downloader import Download, fetch
from podlane.helper.artifacts_uploader import Upload, send
from podlane.helper.attempts import Clock
from podlane.helper.console import FatalError
from podlane.helper.transport import Server
from podlane.kit.backoff import Backoff
from tests.unit.helper.conftest import Coordinator, Handler, serving


class _Fixed:
    def random(self) -> float:
        return 0.75


@dataclass
class Outage:
    """A coordinator that comes back when virtual time has reached ``until``."""

    now: float = 0.0
    until: float = float("inf")
    pauses: list[float] = field(default_factory=list)
    coordinator: Coordinator = field(default_factory=Coordinator)
    port: int = 0
    stack: ExitStack = field(default_factory=ExitStack)
    up: bool = False

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, pause=self.pause, random=_Fixed().random)

    @property
    def server(self) -> Server:
        return Server(url=f"http://127.0.0.1:{self.port}", token="t", job_id="7")

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        if self.now >= self.until and not self.up:
            self.start()

    def start(self) -> None:
        self.stack.enter_context(serving(coordinator=self.coordinator, port=self.port))
        self.up = True

    def stop(self) -> None:
        self.stack.pop_all().close()
        self.up = False


@pytest.fixture
def outage() -> Iterator[Outage]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with ExitStack() as stack:
        yield Outage(port=port, stack=stack)


def _upload(outage: Outage, *, deadline: float = 3600) -> None:
    send(
        Upload(
            server=outage.server,
            paths=["a"],
            kind="zip",
            artifact_type="archive",
            expire_in="",
            file_name="artifacts.zip",
            level=1,
            deadline=deadline,
            answer_seconds=10,
            clock=outage.clock,
        )
    )


def _download(outage: Outage, file: io.BufferedRandom, *, retries: int = 2) -> None:
    download = Download(
        server=outage.server,
        file=file,
        deadline=3600,
        answer_seconds=10,
        direct=False,
        clock=outage.clock,
    )
    fetch(download, retries, 1.0)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[io.BufferedRandom]:
    with (tmp_path / "arriving").open("w+b") as opened:
        yield opened


def _content(file: io.BufferedRandom) -> bytes:
    file.seek(0)
    return file.read()


def test_an_upload_waits_until_the_coordinator_is_back(
    project: Path, outage: Outage, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "a").write_text("kept")
    outage.until = 1100.0
    _upload(outage)
    with zipfile.ZipFile(io.BytesIO(outage.coordinator.uploads[0][1])) as archive:
        assert archive.read("a") == b"kept"
    lines = capsys.readouterr().err
    assert (
        f"uploading artifacts: 127.0.0.1:{outage.port} is away (Connection refused); "
        "trying again in 1 s, waiting for it up to 20 min"
    ) in lines


def test_a_download_waits_until_the_coordinator_is_back(
    outage: Outage, file: io.BufferedRandom
) -> None:
    outage.coordinator.content = b"x" * 100_000
    outage.until = 1100.0
    _download(outage, file, retries=0)
    assert _content(file) == b"x" * 100_000


def test_the_pauses_are_those_of_the_projects_back_off(project: Path, outage: Outage) -> None:
    (project / "a").touch()
    outage.until = 300.0
    _upload(outage)
    policy = Backoff(
        first_seconds=attempts.FIRST_SECONDS,
        max_seconds=attempts.MAX_SECONDS,
        factor=attempts.FACTOR,
        jitter=attempts.JITTER,
    )
    expected = [policy.delay(n, _Fixed()) for n in range(1, len(outage.pauses) + 1)]
    assert outage.pauses == expected
    assert len(expected) > 10


@pytest.mark.parametrize("what", ["uploading", "downloading"])
def test_patience_ends_after_twenty_minutes_with_a_sentence(
    project: Path, outage: Outage, file: io.BufferedRandom, what: str
) -> None:
    (project / "a").touch()
    with pytest.raises(FatalError, match=f"{what} artifacts failed: .* was away for 20 minutes"):
        _upload(outage) if what == "uploading" else _download(outage, file)
    assert outage.now == attempts.AWAY_SECONDS


def test_the_commands_own_time_limit_comes_first(project: Path, outage: Outage) -> None:
    (project / "a").touch()
    with pytest.raises(FatalError, match="the time limit is over, the last error: Connection ref"):
        _upload(outage, deadline=60)
    assert outage.now <= 60


def test_a_proxy_that_asks_for_a_pause_gets_it(
    project: Path, outage: Outage, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "a").touch()

    def maintenance(handler: Handler) -> bool:
        handler.body()
        handler.answer(503, Retry_After="240")
        return True

    outage.coordinator.script = [maintenance]
    outage.start()
    _upload(outage)
    assert outage.pauses == [240]
    assert "(the coordinator answered 503 Service Unavailable); trying again in 240 s" in (
        capsys.readouterr().err
    )


def test_an_answer_of_maintenance_is_heard_before_everything_is_sent(
    project: Path, outage: Outage
) -> None:
    (project / "a").write_bytes(os.urandom(24 * 1024 * 1024))
    seen = []

    def busy(handler: Handler) -> bool:
        handler.answer(503)
        handler.connection.shutdown(socket.SHUT_WR)
        while data := handler.rfile.read1(65536):
            seen.append(len(data))
        return True

    outage.coordinator.script = [busy]
    outage.start()
    _upload(outage)
    assert sum(seen) < 12 * 1024 * 1024
    assert len(outage.coordinator.uploads) == 1


def _away_for(outage: Outage, seconds: float) -> Callable[[Handler], None]:
    """Stop the server while it answers, and let it come back later."""

    def go(handler: Handler) -> None:
        handler.close_connection = True
        handler.wfile.flush()
        assert isinstance(handler.server, http.server.HTTPServer)
        handler.server.socket.close()
        handler.server.shutdown_request(handler.request)
        outage.up, outage.until = False, outage.now + seconds

    return go


def test_an_upload_that_is_cut_off_by_the_coordinators_end_is_made_again_when_it_is_back(
    project: Path, outage: Outage
) -> None:
    data = os.urandom(16 * 1024 * 1024)
    (project / "a").write_bytes(data)
    go_away = _away_for(outage, 900)

    def cut(handler: Handler) -> bool:
        handler.rfile.read(1024 * 1024)
        go_away(handler)
        return True

    outage.coordinator.script = [cut]
    outage.start()
    _upload(outage)
    assert outage.now >= 900
    with zipfile.ZipFile(io.BytesIO(outage.coordinator.uploads[0][1])) as archive:
        assert archive.read("a") == data


def test_a_download_that_is_cut_off_by_the_coordinators_end_is_continued_when_it_is_back(
    outage: Outage, file: io.BufferedRandom
) -> None:
    content = os.urandom(300_000)
    go_away = _away_for(outage, 900)

    def cut(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.wfile.write(content[:100_000])
        go_away(handler)
        return True

    def rest(handler: Handler) -> bool:
        start = int(handler.headers["Range"].removeprefix("bytes=").rstrip("-"))
        assert start == 100_000
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.answer(206, content[start:], Content_Range=span, ETag='"one"')
        return True

    outage.coordinator.script = [cut, rest]
    outage.start()
    _download(outage, file, retries=1)
    assert outage.now >= 900
    assert _content(file) == content


def test_pieces_count_as_progress_and_a_standstill_does_not(
    outage: Outage, file: io.BufferedRandom
) -> None:
    content = os.urandom(9_000)

    def piece(handler: Handler) -> bool:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        handler.close_connection = True
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.wfile.write(content[start : start + 1_000])
        return True

    outage.coordinator.script = [piece] * 9
    outage.start()
    _download(outage, file, retries=2)
    assert _content(file) == content

    def same(handler: Handler) -> bool:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:1_000])
        return True

    outage.coordinator.requests.clear()
    outage.coordinator.script = [same] * 9
    with pytest.raises(FatalError, match="failed 3 times"):
        _download(outage, file, retries=2)
    assert len(outage.coordinator.requests) == 3


def test_an_archive_that_became_shorter_meanwhile_is_fetched_anew(
    outage: Outage, file: io.BufferedRandom
) -> None:
    def long(handler: Handler) -> bool:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.wfile.write(b"o" * 1_000)
        return True

    def unsatisfiable(handler: Handler) -> bool:
        handler.answer(416)
        return True

    outage.coordinator.content = b"short"
    outage.coordinator.script = [long, unsatisfiable]
    outage.start()
    _download(outage, file)
    assert "Range" not in outage.coordinator.requests[-1][2]
    assert _content(file) == b"short"


@pytest.mark.parametrize(("status", "count"), [(400, 1), (409, 1), (451, 1), (500, 3)])
def test_other_refusals_of_a_download_are_not_waited_for(
    outage: Outage, file: io.BufferedRandom, status: int, count: int
) -> None:
    def refuse(handler: Handler) -> bool:
        handler.answer(status)
        return True

    outage.coordinator.script = [refuse] * 5
    outage.start()
    with pytest.raises(FatalError, match=str(status)):
        _download(outage, file)
    assert len(outage.coordinator.requests) == count


def test_a_name_that_nobody_knows_is_given_up_soon(project: Path, outage: Outage) -> None:
    (project / "a").touch()
    upload_to = Server(url="http://nowhere.invalid", token="t", job_id="7")
    with pytest.raises((attempts.FailedError, attempts.AwayError)) as caught:
        attempts.connect(upload_to, "http://nowhere.invalid/x", 1.0)
    unknown = caught.value
    assert isinstance(unknown.__cause__, socket.gaierror)
