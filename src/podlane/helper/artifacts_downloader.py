"""``artifacts-downloader``: fetch a job's archive and unpack it into the working directory.

An attempt that breaks off is continued where it stopped, if the server can; a coordinator that is
away is waited for. With direct download it may send us to object storage, which never sees the
job's token.
"""

from __future__ import annotations

import http.client
import os
import tempfile
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import urljoin, urlsplit

from podlane.helper import attempts, console, extract, meter, ranges, storage, transport
from podlane.helper.attempts import Attempts, AwayError, Clock, FailedError, FinalError
from podlane.helper.flags import Flag, Values

FLAGS = (
    *transport.SERVER_FLAGS,
    Flag("retry", default="2", help="further attempts after an error; an outage is waited for"),
    Flag("retry-time", default="1s", help="the pause between attempts"),
    meter.FLAG,
    Flag("direct-download", "FF_USE_DIRECT_DOWNLOAD", switch=True, help="allow object storage"),
    Flag(
        "parallel",
        "FF_USE_PARALLEL_ARTIFACT_TRANSFER",
        switch=True,
        help="from object storage over several connections",
    ),
    Flag(
        "archiver-staging-dir", "ARCHIVER_STAGING_DIR", help="where the archive is kept meanwhile"
    ),
    Flag("timeout", default="1h", help="for everything"),
    Flag("response-header-timeout", default="10m", help="for an answer"),
)

_TITLE = "Downloading artifacts from coordinator..."
_FINAL = {401: "unauthorized", 403: "forbidden", 404: "not found"}
_CHUNK = 256 * 1024
_MAX_REDIRECTS = 10


@dataclass
class Download:
    """One archive on its way; ``size`` bytes of it are in ``file``, of the version ``etag``.

    ``most`` is how many there were at any time.
    """

    server: transport.Server
    file: IO[bytes]
    deadline: float
    answer_seconds: float
    direct: bool
    parallel: bool = False
    meter_seconds: float = 0.0
    clock: Clock = field(default_factory=Clock)
    etag: str = ""
    size: int = 0
    most: int = 0

    def is_over(self) -> bool:
        """Whether the time limit of all attempts has passed."""
        return self.clock.now() > self.deadline


def run(values: Values) -> int:
    """Fetch and unpack."""
    server = transport.read_server(values)
    staging = values.text("archiver-staging-dir") or None
    clock = Clock()
    try:
        with tempfile.NamedTemporaryFile(prefix="artifacts", dir=staging) as file:
            download = Download(
                server=server,
                file=file.file,
                deadline=clock.now() + (values.seconds("timeout") or 3600),
                answer_seconds=values.seconds("response-header-timeout") or 600,
                direct=values.flag("direct-download"),
                parallel=values.flag("parallel"),
                meter_seconds=values.seconds(meter.FLAG.name),
                clock=clock,
            )
            fetch(download, values.number("retry"), values.seconds("retry-time"))
            file.flush()
            unpack(file.name)
    except OSError as error:
        where = error.filename or os.getcwd()
        console.fatal(f"unpacking artifacts failed: {error.strerror or error}: {where}")
    return 0


def fetch(download: Download, retries: int, retry_seconds: float) -> None:
    """Fill the download's file, with all attempts."""
    host = urlsplit(download.server.url).netloc.rpartition("@")[2]
    tries = Attempts(
        "downloading artifacts", host,
        tries=retries + 1, deadline=download.deadline, clock=download.clock,
    )  # fmt: skip
    direct = download.direct
    while True:
        before = download.most
        try:
            _attempt(download, direct=direct)
        except (AwayError, FailedError, FinalError, http.client.HTTPException, OSError) as error:
            if download.most > before:
                tries.progressed()
            # Object storage has one chance: the coordinator can send the archive itself.
            direct = direct and isinstance(error, AwayError)
            tries.wait(error, retry_seconds)
        else:
            return


def unpack(path: str) -> None:
    """Unpack the archive ``path`` into the working directory."""
    try:
        extract.extract(path, os.getcwd())
    except extract.UnsafeArchiveError as error:
        console.fatal(f"unpacking artifacts was refused: {error}")
    except extract.DAMAGED as error:
        console.fatal(f"unpacking artifacts failed: the archive is damaged: {error}")


def _attempt(download: Download, *, direct: bool) -> None:
    url = download.server.artifacts_url("direct_download=true" if direct else "")
    for _ in range(_MAX_REDIRECTS):
        connection, target = _connect(download, url)
        try:
            headers = download.server.headers(url)
            if download.size and download.etag:
                headers |= {"Range": f"bytes={download.size}-", "If-Range": download.etag}
            answer = _ask(connection, target, headers | {"Accept-Encoding": "identity"})
            location = answer.headers.get("Location")
            if answer.status in transport.REDIRECTS and location:
                url = urljoin(url, location)
                if download.parallel and not download.server.trusts(url):
                    _fetch_parts(download, url)
                    return
                continue
            _judge(download, answer, url)
            _receive(download, answer)
            _report(download, "ok", answer, url)
            return
        finally:
            connection.close()
    raise FailedError("too many redirects")


def _fetch_parts(download: Download, url: str) -> None:
    """Fetch the archive from object storage in parts, several at once."""
    shown = meter.Meter("Downloading artifacts", download.meter_seconds, now=download.clock.now)
    patience = storage.Patience(
        deadline=download.deadline, retries=1, retry_seconds=1, pause=download.clock.pause,
        moved=shown.add, limit="artifacts-downloader --timeout sets it",
    )  # fmt: skip
    download.size, download.etag = 0, ""
    download.file.seek(0)
    download.file.truncate()
    try:
        ranges.get(
            url, storage.Transfer(download.file), patience, ranges.plan(0, 0), newer_than=None
        )
    except storage.MissingObjectError:
        raise FailedError("object storage has no such archive") from None
    except storage.RefusedError as error:
        raise FailedError(f"object storage: {error}") from error
    shown.done()
    host = urlsplit(url).netloc.rpartition("@")[2]
    console.info(f"{_TITLE} ok", host=host, id=download.server.job_id)


def _connect(download: Download, url: str) -> tuple[http.client.HTTPConnection, str]:
    try:
        return attempts.connect(download.server, url, download.answer_seconds)
    except AwayError as error:
        if download.server.trusts(url):
            raise
        raise FailedError(f"object storage: {error}") from error


def _ask(
    connection: http.client.HTTPConnection, target: str, headers: dict[str, str]
) -> http.client.HTTPResponse:
    try:
        connection.request("GET", target, headers=headers)
        return connection.getresponse()
    except (ConnectionError, http.client.BadStatusLine) as error:
        reason = str(error) or type(error).__name__
        raise AwayError(f"the connection ended without an answer: {reason}") from error


def _judge(download: Download, answer: http.client.HTTPResponse, url: str) -> None:
    """Go on if there is something to receive; else say why not."""
    status = answer.status
    if status in {http.client.OK, http.client.PARTIAL_CONTENT}:
        return
    if status in _FINAL and download.server.trusts(url):
        _report(download, _FINAL[status], answer, url, console.error)
        console.fatal("permission denied" if status != http.client.NOT_FOUND else "not found")
    _report(download, "failed", answer, url, console.warning)
    if status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        download.size, download.etag = 0, ""
        raise FailedError("the archive there is shorter than what had arrived of it")
    if not download.server.trusts(url):
        raise FailedError(f"object storage answered {transport.status_text(status)}")
    raise attempts.judged(answer)


def _receive(download: Download, answer: http.client.HTTPResponse) -> None:
    if answer.status == http.client.OK:
        download.size = 0
        download.file.seek(0)
        download.file.truncate()
    elif not answer.headers.get("Content-Range", "").startswith(f"bytes {download.size}-"):
        download.size, download.etag = 0, ""
        raise FailedError("the server continued the archive at a wrong place")
    etag = answer.headers.get("ETag", "")
    download.etag = "" if etag.startswith("W/") else etag
    expected = answer.length
    shown = meter.Meter(
        "Downloading artifacts", download.meter_seconds, total=expected or 0, now=download.clock.now
    )
    received = 0
    while True:
        if download.is_over():
            console.fatal("downloading artifacts failed: the time limit is over")
        data = answer.read1(_CHUNK)
        if not data:
            break
        download.file.write(data)
        download.size += len(data)
        download.most = max(download.most, download.size)
        received += len(data)
        shown.add(len(data))
    shown.done()
    if expected is not None and received < expected:
        raise FailedError(f"the connection ended {expected - received} bytes too early")


def _report(
    download: Download,
    word: str,
    answer: http.client.HTTPResponse,
    url: str,
    line: console.Line = console.info,
) -> None:
    line(
        f"{_TITLE} {word}",
        correlation_id=answer.headers.get("X-Request-Id", ""),
        host=urlsplit(url).netloc.rpartition("@")[2],
        id=download.server.job_id,
        responseStatus=transport.status_text(answer.status),
    )
