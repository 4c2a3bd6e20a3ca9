"""``artifacts-downloader``: fetch a job's archive and unpack it into the working directory.

An attempt that breaks off is continued where it stopped, if the server can. With direct download
the coordinator may send us to object storage, which never sees the job's token.
"""

from __future__ import annotations

import http.client
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO
from urllib.parse import urljoin, urlsplit

from podlane.helper import console, extract, transport
from podlane.helper.flags import Flag, Values

FLAGS = (
    *transport.SERVER_FLAGS,
    Flag("retry", default="2", help="further attempts"),
    Flag("retry-time", default="1s", help="the pause between attempts"),
    Flag("transfer-meter-frequency", "TRANSFER_METER_FREQUENCY", help="accepted, not used"),
    Flag("direct-download", "FF_USE_DIRECT_DOWNLOAD", switch=True, help="allow object storage"),
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
Pause = Callable[[float], None]


class _FailedError(Exception):
    """An attempt failed; another may succeed."""


@dataclass
class Download:
    """One archive on its way; ``size`` bytes of it are in ``file``, of the version ``etag``."""

    server: transport.Server
    file: IO[bytes]
    deadline: float
    answer_seconds: float
    direct: bool
    etag: str = ""
    size: int = 0


def run(values: Values) -> int:
    """Fetch and unpack."""
    server = transport.read_server(values)
    staging = values.text("archiver-staging-dir") or None
    try:
        with tempfile.NamedTemporaryFile(prefix="artifacts", dir=staging) as file:
            download = Download(
                server=server,
                file=file.file,
                deadline=time.monotonic() + (values.seconds("timeout") or 3600),
                answer_seconds=values.seconds("response-header-timeout") or 600,
                direct=values.flag("direct-download"),
            )
            fetch(download, values.number("retry"), values.seconds("retry-time"))
            file.flush()
            unpack(file.name)
    except OSError as error:
        where = error.filename or os.getcwd()
        console.fatal(f"unpacking artifacts failed: {error.strerror or error}: {where}")
    return 0


def fetch(
    download: Download,
    retries: int,
    retry_seconds: float,
    pause: Pause = time.sleep,  # noqa: TID251 - a program of its own, without anyio
) -> None:
    """Fill the download's file, with all attempts."""
    for attempt in range(retries + 1):
        if attempt:
            pause(retry_seconds)
        try:
            _attempt(download, direct=download.direct and attempt == 0)
        except (_FailedError, http.client.HTTPException, OSError) as error:
            if attempt == retries or time.monotonic() > download.deadline:
                console.fatal(
                    f"downloading artifacts failed {attempt + 1} times, the last: {error}"
                )
            console.warning("Retrying...", error=str(error) or type(error).__name__)
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
        connection, target = transport.connect(download.server, url, download.answer_seconds)
        try:
            headers = download.server.headers(url)
            if download.size and download.etag:
                headers |= {"Range": f"bytes={download.size}-", "If-Range": download.etag}
            connection.request("GET", target, headers=headers | {"Accept-Encoding": "identity"})
            answer = connection.getresponse()
            location = answer.headers.get("Location")
            if answer.status in transport.REDIRECTS and location:
                url = urljoin(url, location)
                continue
            _judge(download, answer, url)
            _receive(download, answer)
            _report(download, "ok", answer, url)
            return
        finally:
            connection.close()
    raise _FailedError("too many redirects")


def _judge(download: Download, answer: http.client.HTTPResponse, url: str) -> None:
    """Go on if there is something to receive; else say why not."""
    status = answer.status
    if status in {http.client.OK, http.client.PARTIAL_CONTENT}:
        return
    if status in _FINAL and download.server.trusts(url):
        _report(download, _FINAL[status], answer, url, console.error)
        console.fatal("permission denied" if status != http.client.NOT_FOUND else "not found")
    _report(download, "failed", answer, url, console.warning)
    raise _FailedError(f"the server answered {transport.status_text(status)}")


def _receive(download: Download, answer: http.client.HTTPResponse) -> None:
    if answer.status == http.client.OK:
        download.size = 0
        download.file.seek(0)
        download.file.truncate()
    elif not answer.headers.get("Content-Range", "").startswith(f"bytes {download.size}-"):
        download.size, download.etag = 0, ""
        raise _FailedError("the server continued the archive at a wrong place")
    etag = answer.headers.get("ETag", "")
    download.etag = "" if etag.startswith("W/") else etag
    expected = answer.length
    received = 0
    while True:
        if time.monotonic() > download.deadline:
            console.fatal("downloading artifacts failed: the time limit is over")
        data = answer.read1(_CHUNK)
        if not data:
            break
        download.file.write(data)
        download.size += len(data)
        received += len(data)
    if expected is not None and received < expected:
        raise _FailedError(f"the connection ended {expected - received} bytes too early")


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
