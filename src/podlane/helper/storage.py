"""Objects behind presigned URLs: HEAD, GET into a file, PUT from a file, each with further attempts.

The URL itself is the permission, so no line ever shows its query.
"""

from __future__ import annotations

import email.utils
import http.client
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, TypeVar
from urllib.parse import urljoin, urlsplit

from podlane.helper import console, transport

_CHUNK = 256 * 1024
_MAX_REDIRECTS = 10
_MAX_ANSWER = 64 * 1024
_ANSWER_SECONDS = 120
_SERVER_ERRORS = 500
_TOO_MANY = 429
Pause = Callable[[float], None]
T = TypeVar("T")


class MissingObjectError(Exception):
    """There is no such object."""


class RefusedError(Exception):
    """The storage said no; trying again cannot help."""


class _FailedError(Exception):
    """An attempt failed; another may succeed."""


@dataclass(frozen=True)
class Patience:
    """How long and how often. ``deadline`` by ``time.monotonic``; ``retries`` beyond the first.

    ``moved`` is told of the bytes that went or came; ``limit`` says who sets the time limit.
    """

    deadline: float
    retries: int
    retry_seconds: float
    pause: Pause = time.sleep  # noqa: TID251 - a program of its own, without anyio
    moved: Callable[[int], object] = int
    limit: str = "CACHE_REQUEST_TIMEOUT sets it, in minutes"

    def left(self) -> float:
        """Return the seconds that one send or receive may take."""
        rest = self.deadline - time.monotonic()
        if rest <= 0:
            raise RefusedError(f"the time limit is over; {self.limit}")
        return min(rest, _ANSWER_SECONDS)


@dataclass
class Transfer:
    """What arrived so far; ``etag`` is the version that it belongs to."""

    file: IO[bytes]
    etag: str = ""
    size: int = 0
    modified: float | None = None


@dataclass(frozen=True)
class Part:
    """Some bytes of an object, of the version ``etag``."""

    start: int
    size: int
    etag: str = ""


@dataclass(frozen=True)
class PartAnswer:
    """What came with a part: the size of the whole, its version, and when it was written."""

    total: int
    etag: str
    modified: float | None


@dataclass(frozen=True)
class Content:
    """A file to be sent."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)


def shown(url: str) -> str:
    """Return an address without what gives access."""
    parsed = urlsplit(url)
    return f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}{parsed.path}"


def head(url: str, patience: Patience) -> float:
    """Return when the object was last modified (0 if the storage does not tell).

    Raises:
        MissingObjectError, RefusedError: there is none, or we may not know.
    """

    def attempt() -> float:
        answer, connection, _ = _ask("HEAD", url, {}, patience)
        with connection:
            _judge(answer)
            return _modified(answer) or 0.0

    return _repeat(attempt, patience)


def get(url: str, transfer: Transfer, patience: Patience, *, newer_than: float | None) -> bool:
    """Fill the transfer's file; False if what is there since ``newer_than`` is as good.

    Raises:
        MissingObjectError, RefusedError: there is none, or it cannot be had.
    """

    def attempt() -> bool:
        headers = {"Accept-Encoding": "identity"}
        if transfer.size and transfer.etag:
            headers |= {"Range": f"bytes={transfer.size}-", "If-Range": transfer.etag}
        answer, connection, _ = _ask("GET", url, headers, patience)
        with connection:
            _judge(answer)
            transfer.modified = _modified(answer)
            if (
                newer_than is not None
                and transfer.modified is not None
                and newer_than >= transfer.modified
            ):
                return False
            _receive(answer, transfer, patience)
            return True

    return _repeat(attempt, patience)


def get_part(url: str, part: Part, file: IO[bytes], patience: Patience) -> PartAnswer | None:
    """Write one part of the object to its place in ``file``; None if the storage sends it whole.

    Raises:
        MissingObjectError, RefusedError: there is none, or it cannot be had.
    """

    def attempt() -> PartAnswer | None:
        headers = {
            "Accept-Encoding": "identity",
            "Range": f"bytes={part.start}-{part.start + part.size - 1}",
        }
        if part.etag:
            headers["If-Range"] = part.etag
        answer, connection, _ = _ask("GET", url, headers, patience)
        with connection:
            if answer.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            _judge(answer)
            said = answer.headers.get("Content-Range", "").removeprefix(f"bytes {part.start}-")
            end, _, total = said.partition("/")
            if answer.status != http.client.PARTIAL_CONTENT or not (end + total).isdigit():
                return None
            position = part.start
            while data := answer.read1(_CHUNK):
                patience.left()
                patience.moved(len(data))
                position += os.pwrite(file.fileno(), data, position)
            if position != int(end) + 1:
                raise _FailedError(
                    f"the connection ended {int(end) + 1 - position} bytes too early"
                )
            etag = answer.headers.get("ETag", "")
            return PartAnswer(int(total), "" if etag.startswith("W/") else etag, _modified(answer))

    return _repeat(attempt, patience)


def put(url: str, content: Content, patience: Patience) -> None:
    """Send a file.

    Raises:
        RefusedError: the storage does not take it.
    """

    def attempt() -> None:
        with open(content.path, "rb") as file:
            info = os.fstat(file.fileno())
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(info.st_size),
                "Last-Modified": email.utils.formatdate(info.st_mtime, usegmt=True),
                **content.headers,
            }
            answer, connection, _ = _ask("PUT", url, headers, patience, file)
            with connection:
                _judge(answer)

    try:
        _repeat(attempt, patience)
    except MissingObjectError:
        raise RefusedError("the storage answered 404 Not Found: is the bucket there?") from None


class _Closing:
    """A connection that is closed at the end of the block."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _ask(
    method: str, url: str, headers: Mapping[str, str], patience: Patience,
    body: IO[bytes] | None = None,
) -> tuple[http.client.HTTPResponse, _Closing, str]:  # fmt: skip
    server = transport.Server(
        url="", token="", job_id="", ca_file=os.environ.get("CI_SERVER_TLS_CA_FILE", "")
    )
    for _ in range(_MAX_REDIRECTS):
        connection, target = transport.connect(server, url, patience.left())
        try:
            answer = _exchange(connection, method, target, headers, patience, body)
        except BaseException:
            connection.close()
            raise
        location = answer.headers.get("Location")
        if answer.status not in transport.REDIRECTS or not location:
            return answer, _Closing(connection), url
        connection.close()
        if body is not None:
            body.seek(0)
        url = urljoin(url, location)
    raise _FailedError("too many redirects")


def _exchange(
    connection: http.client.HTTPConnection, method: str, target: str,
    headers: Mapping[str, str], patience: Patience, body: IO[bytes] | None,
) -> http.client.HTTPResponse:  # fmt: skip
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in {
        "Connection": "close",
        "User-Agent": transport.user_agent(),
        **headers,
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    try:
        while body is not None and (data := body.read(_CHUNK)):
            patience.left()
            connection.send(data)
            patience.moved(len(data))
    except (BrokenPipeError, ConnectionResetError) as error:
        try:
            return connection.getresponse()  # a refusal may come before all is sent
        except (OSError, http.client.HTTPException):
            raise error from None
    return connection.getresponse()


def _judge(answer: http.client.HTTPResponse) -> None:
    status, text = answer.status, transport.status_text(answer.status)
    if status < http.client.MULTIPLE_CHOICES:
        return
    if status == http.client.NOT_FOUND:
        raise MissingObjectError
    said = _said(answer)
    if status >= _SERVER_ERRORS or status in {http.client.REQUEST_TIMEOUT, _TOO_MANY}:
        raise _FailedError(f"the storage answered {text}{said}")
    raise RefusedError(f"the storage answered {text}{said}")


def _said(answer: http.client.HTTPResponse) -> str:
    """Return the code in an answer of S3, GCS or Azure, which says more than the status."""
    try:
        body = answer.read(_MAX_ANSWER).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""
    code = body.partition("<Code>")[2].partition("</Code>")[0]
    return f" ({code})" if code.isidentifier() else ""


def _modified(answer: http.client.HTTPResponse) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(
            answer.headers.get("Last-Modified", "")
        ).timestamp()
    except (ValueError, TypeError):
        return None


def _receive(answer: http.client.HTTPResponse, transfer: Transfer, patience: Patience) -> None:
    if answer.status != http.client.PARTIAL_CONTENT:
        transfer.size = 0
        transfer.file.seek(0)
        transfer.file.truncate()
    elif not answer.headers.get("Content-Range", "").startswith(f"bytes {transfer.size}-"):
        transfer.size, transfer.etag = 0, ""
        raise _FailedError("the storage continued the archive at a wrong place")
    etag = answer.headers.get("ETag", "")
    transfer.etag = "" if etag.startswith("W/") else etag
    expected, received = answer.length, 0
    while data := answer.read1(_CHUNK):
        patience.left()
        patience.moved(len(data))
        transfer.file.write(data)
        transfer.size, received = transfer.size + len(data), received + len(data)
    if expected is not None and received < expected:
        raise _FailedError(f"the connection ended {expected - received} bytes too early")


def _repeat(attempt: Callable[[], T], patience: Patience) -> T:
    for number in range(patience.retries + 1):
        try:
            return attempt()
        except (_FailedError, http.client.HTTPException, OSError) as error:
            reason = str(error) or type(error).__name__
            if number == patience.retries:
                raise RefusedError(f"{reason} (attempt {number + 1} of {number + 1})") from error
            console.warning("Retrying...", error=reason)
            patience.pause(patience.retry_seconds)
    raise AssertionError("a loop that returns or raises")
