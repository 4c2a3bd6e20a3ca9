"""``artifacts-uploader``: archive the selected files and stream them to the coordinator.

The archive is written straight into the request, so it needs neither memory nor disk; a further
attempt writes it anew (GitLab takes no parts). A coordinator that is away is waited for. No file to
upload is no failure; a refused upload is.
"""

from __future__ import annotations

import http.client
import json
import secrets
import select
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from podlane.helper import archive, attempts, console, meter, provenance, storage, transport
from podlane.helper.attempts import Attempts, AwayError, Clock, FailedError, FinalError
from podlane.helper.flags import Flag, Values, expand
from podlane.helper.selection import Selection

FLAGS = (
    *transport.SERVER_FLAGS,
    Flag("path", help="a pattern relative to the working directory; may be repeated"),
    Flag("exclude", help="a pattern of what to leave out; may be repeated"),
    Flag("untracked", switch=True, help="add what git does not track"),
    Flag("verbose", switch=True, help="list the files"),
    Flag("name", default="artifacts", help="the archive's name without its ending"),
    Flag("expire-in", help="when GitLab may delete the artifacts"),
    Flag("artifact-format", default="zip", help="zip, gzip, raw, zipzstd, tarzstd"),
    Flag("artifact-type", default="archive", help="archive, junit, …"),
    Flag("compression-level", "ARTIFACT_COMPRESSION_LEVEL", help="fastest … slowest"),
    meter.FLAG,
    Flag("timeout", default="1h", help="for everything"),
    Flag("response-header-timeout", default="10m", help="for the answer"),
    Flag("ci-debug-trace", "CI_DEBUG_TRACE", switch=True, help="show the answer"),
    *provenance.FLAGS,
)  # fmt: skip

_TRIES = 3
_MAX_REDIRECTS = 5
_CHUNK = 64 * 1024
_MAX_ANSWER = 64 * 1024
_SHOWN_BYTES = 1024
_CHEAP_BYTES = 4 * 1024 * 1024  # what buffers on the way may hold before anybody has read a byte


@dataclass(frozen=True)
class Upload:
    """One archive to be sent."""

    server: transport.Server
    paths: list[str]
    kind: str
    artifact_type: str
    expire_in: str
    file_name: str
    level: int
    deadline: float
    answer_seconds: float
    meter_seconds: float = 0.0
    is_answer_shown: bool = False
    clock: Clock = field(default_factory=Clock)

    @property
    def query(self) -> str:
        """What the coordinator is told about the archive."""
        pairs = {
            "artifact_format": self.kind,
            "artifact_type": self.artifact_type,
            "expire_in": self.expire_in,
        }
        return urlencode({key: value for key, value in pairs.items() if value})


def run(values: Values) -> int:
    """Select, archive and upload."""
    server = transport.read_server(values)
    selection = Selection(
        paths=[expand(path) for path in values.all("path")],
        exclude=[expand(path) for path in values.all("exclude")],
        untracked=values.flag("untracked"),
    )
    paths = selection.collect()
    if not paths:
        console.error("No files to upload")
        return 0
    if values.flag("verbose"):
        for path in paths:
            console.info(path)
    kind = values.text("artifact-format")
    archive.writer(kind)
    name = expand(values.text("name"))
    paths = provenance.add_statement(values, name, paths)
    clock = Clock()
    upload = Upload(
        server=server,
        paths=paths,
        kind=kind,
        artifact_type=values.text("artifact-type"),
        expire_in=values.text("expire-in"),
        file_name=archive.archive_name(kind, name),
        level=archive.level(values.text("compression-level")),
        deadline=clock.now() + (values.seconds("timeout") or 3600),
        answer_seconds=values.seconds("response-header-timeout") or 600,
        meter_seconds=values.seconds(meter.FLAG.name),
        is_answer_shown=values.flag("ci-debug-trace"),
        clock=clock,
    )
    send(upload)
    return 0


def send(upload: Upload) -> None:
    """Upload with all attempts."""
    url = upload.server.artifacts_url(upload.query)
    host = urlsplit(url).netloc.rpartition("@")[2]
    tries = Attempts(
        "uploading artifacts", host, tries=_TRIES, deadline=upload.deadline, clock=upload.clock
    )
    redirects = 0
    while True:
        try:
            moved = _attempt(upload, url)
        except (AwayError, FailedError, FinalError, OSError, http.client.HTTPException) as error:
            tries.wait(error)
            continue
        if moved is None:
            return
        redirects += 1
        if redirects > _MAX_REDIRECTS:
            console.fatal("uploading artifacts failed: too many redirects")
        url = moved


def _attempt(upload: Upload, url: str) -> str | None:
    """Send once; returns the address to go to instead, if the coordinator says so."""
    connection, target = attempts.connect(upload.server, url, upload.answer_seconds)
    try:
        answer = _exchange(upload, connection, target, url)
        content = answer.read(_MAX_ANSWER)
        if upload.is_answer_shown:
            _show(answer, content)
        text = _message(content, answer)
        return _judge(upload, url, answer, text)
    finally:
        connection.close()


def _judge(upload: Upload, url: str, answer: http.client.HTTPResponse, text: str) -> str | None:
    status = answer.status
    if status in transport.REDIRECTS:
        location = urljoin(url, answer.headers.get("Location", ""))
        if status not in {307, 308} or not answer.headers.get("Location"):
            raise FinalError(f"the coordinator redirects the upload with {status}: unusable")
        console.info(
            f"{_title(upload)}... redirected", responseStatus=transport.status_text(status)
        )
        return location
    line = console.info if status == http.client.CREATED else console.warning
    if status in {403, 413}:
        line = console.error
    line(
        f"{_title(upload)}... {text}",
        correlation_id=answer.headers.get("X-Request-Id", ""),
        id=upload.server.job_id,
        responseStatus=transport.status_text(status),
    )
    if status == http.client.CREATED:
        return None
    if status == http.client.FORBIDDEN:
        raise FinalError("permission denied")
    if status == http.client.REQUEST_ENTITY_TOO_LARGE:
        raise FinalError("too large")
    raise attempts.judged(answer)


def _exchange(
    upload: Upload, connection: http.client.HTTPConnection, target: str, url: str
) -> http.client.HTTPResponse:
    """Send the request and return the answer, also one that comes before we are done."""
    boundary = f"podlane-{secrets.token_hex(16)}"
    connection.putrequest("POST", target)
    for name, value in upload.server.headers(url).items():
        connection.putheader(name, value)
    connection.putheader("Content-Type", f"multipart/form-data; boundary={boundary}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Connection", "close")
    connection.endheaders()
    body = _ChunkedBody(connection, upload)
    try:
        _send(upload, body, boundary)
    except _AnsweredError:
        pass
    except (BrokenPipeError, ConnectionResetError, ssl.SSLError) as error:
        try:
            return connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise _cut(body, error) from None
    try:
        return connection.getresponse()
    except (ConnectionError, ssl.SSLError, http.client.BadStatusLine) as error:
        raise _cut(body, error) from error


def _send(upload: Upload, body: _ChunkedBody, boundary: str) -> None:
    name = upload.file_name.replace("\\", "_").replace('"', "%22").replace("\n", "%0A")
    body.write(
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
    )
    archive.writer(upload.kind)(upload.paths, body, upload.level)
    body.meter.done()
    body.write(f"\r\n--{boundary}--\r\n".encode())
    body.finish()


def _cut(body: _ChunkedBody, error: Exception) -> Exception:
    """Return what a connection that ends without an answer means.

    What was cheap to send may be a proxy's that has nobody behind it; the rest costs too much to be
    sent again and again.
    """
    reason = f"the connection ended without an answer after {body.sent_bytes} bytes: {error}"
    return AwayError(reason) if body.sent_bytes <= _CHEAP_BYTES else FailedError(reason)


class _AnsweredError(Exception):
    """The answer is there before all is sent."""


class _ChunkedBody:
    """A file to write to, sent in HTTP chunks; stops as soon as the other side answers."""

    def __init__(self, connection: http.client.HTTPConnection, upload: Upload) -> None:
        self._connection = connection
        self._deadline = upload.deadline
        self._now = upload.clock.now
        self.meter = meter.Meter("Uploading artifacts", upload.meter_seconds, now=self._now)
        self._pending = bytearray()
        self.sent_bytes = 0

    def write(self, data: bytes, /) -> int:
        """Take ``data``; it is sent when there is enough of it."""
        self._pending += data
        if len(self._pending) >= _CHUNK:
            self._send()
        return len(data)

    def flush(self) -> None:
        """Do nothing: small chunks would only cost."""

    def finish(self) -> None:
        """Send the rest and the end mark."""
        self._send()
        self._connection.send(b"0\r\n\r\n")

    def _send(self) -> None:
        if self._now() > self._deadline:
            raise FinalError("uploading artifacts failed: the time limit is over")
        if self._pending:
            if self._is_answered():
                raise _AnsweredError
            head = f"{len(self._pending):x}\r\n".encode()
            self._connection.send(head + self._pending + b"\r\n")
            self.sent_bytes += len(self._pending)
            self.meter.add(len(self._pending))
            self._pending = bytearray()

    def _is_answered(self) -> bool:
        """Whether there is something to read. Under TLS that may be no answer, so only the end tells."""
        sock = self._connection.sock
        if isinstance(sock, ssl.SSLSocket):
            return False
        return bool(select.select([sock], [], [], 0)[0])


def _title(upload: Upload) -> str:
    kind = f' as "{upload.artifact_type}"' if upload.artifact_type else ""
    return f"Uploading artifacts{kind} to coordinator"


def _show(answer: http.client.HTTPResponse, content: bytes) -> None:
    """Show an answer as it came (``CI_DEBUG_TRACE``); cookies and what gives access are left out."""
    shown = {
        f"header[{name}]": storage.shown(value) if name.lower() == "location" else value
        for name, value in answer.headers.items()
        if name.lower() != "set-cookie"
    }
    body = content[:_SHOWN_BYTES].decode(errors="replace")
    console.warning("received response", **shown, body=body + "..." * (len(content) > _SHOWN_BYTES))


def _message(body: bytes, answer: http.client.HTTPResponse) -> str:
    """Return the coordinator's own words, or the status."""
    status = transport.status_text(answer.status)
    if answer.status == http.client.CREATED:
        return status
    try:
        decoded = json.loads(body)
    except ValueError:
        return status
    message = decoded.get("message") if isinstance(decoded, dict) else None
    return f"{status} ({message})" if isinstance(message, str) and message else status
