"""Encode and decode each request and answer of the Runner API.

Tolerant in what it reads: numbers may come as strings, ``null`` means "not given", and a value of a
wrong type in a field that no job needs is dropped. What is needed and cannot be read raises
:class:`UnreadableJobError`, so that this job fails with a reason instead of being lost.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from podlane.gitlab.errors import BadAnswerError, UnreadableJobError
from podlane.gitlab.info import RunnerInfo
from podlane.kit import jsonvalue
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.model.frozen import Frozen
from podlane.model.job import Job

T = TypeVar("T")

LAST_UPDATE = "X-GitLab-Last-Update"
TRACE_INTERVAL = "X-GitLab-Trace-Update-Interval"
JOB_STATUS = "Job-Status"
JOB_TOKEN = "JOB-TOKEN"  # noqa: S105 - the name of a header
RUNNER_TOKEN = "RUNNER-TOKEN"  # noqa: S105 - the name of a header
PRIVATE_TOKEN = "PRIVATE-TOKEN"  # noqa: S105 - the name of a header


class TraceOutput(Frozen, frozen=True, kw_only=True, omit_defaults=False):
    """What the runner says of its trace: CRC-32 (``crc32:%08x``) and size in bytes."""

    checksum: str = ""
    bytesize: int = 0


class JobUpdate(Frozen, frozen=True, kw_only=True):
    """The body of ``PUT jobs/:id``. ``state`` is ``running``, ``success`` or ``failed``."""

    state: str
    token: str = ""
    info: RunnerInfo = RunnerInfo()
    failure_reason: str = ""
    checksum: str = ""
    output: TraceOutput | None = None
    exit_code: int = 0


class Session(Frozen, frozen=True, kw_only=True):
    """Where the terminal of the job that is asked for will be; ``certificate`` is PEM."""

    url: str
    certificate: str
    authorization: str


class JobRequest(Frozen, frozen=True, kw_only=True):
    """The body of ``POST jobs/request``."""

    token: str = ""
    info: RunnerInfo = RunnerInfo()
    system_id: str = ""
    last_update: str = ""
    session: Session | None = None


class RunnerRequest(Frozen, frozen=True, kw_only=True):
    """The body of ``runners/verify``, ``runners/managers`` and the token reset."""

    token: str = ""
    info: RunnerInfo | None = None
    system_id: str = ""


class Registration(Frozen, frozen=True, kw_only=True, omit_defaults=False):
    """The body of ``POST runners``; ``token`` is a registration token, ``info`` names no executor."""

    token: str = ""
    info: RunnerInfo | None = None
    description: str = ""
    maintenance_note: str = ""
    tag_list: str = ""
    run_untagged: bool = True
    locked: bool = True
    access_level: str = ""
    maximum_timeout: int = 0
    paused: bool = False


class RunnerChange(Frozen, frozen=True, kw_only=True, omit_defaults=False):
    """The body of ``PUT runners/:id``, as far as it is understood."""

    paused: bool = False


class RunnerAnswer(Frozen, frozen=True, kw_only=True, omit_defaults=False):
    """The answer to ``runners`` and ``runners/verify``."""

    id: int = 0
    token: str = ""
    token_expires_at: str | None = None


class _Unsupported(Frozen, frozen=True, kw_only=True):
    run: msgspec.Raw = msgspec.Raw(b"null")


class _Identity(Frozen, frozen=True, kw_only=True):
    id: int
    token: str


def encode(value: msgspec.Struct) -> bytes:
    """Return the JSON of a request or an answer."""
    return msgspec.json.encode(value)


def encode_job(job: Job) -> bytes:
    """Return the body of a 201 answer to ``jobs/request``.

    What is absent is zero for a runner written in Go, so defaults of ours that are not zero are told.
    """
    raw: Json = msgspec.to_builtins(job)
    assert isinstance(raw, dict)
    git_info = jsonvalue.obj(raw, "git_info") | {"ref_type": job.git_info.ref_type}
    return msgspec.json.encode(raw | {"allow_git_fetch": job.allow_git_fetch, "git_info": git_info})


def decode(body: bytes, shape: type[T]) -> T:
    """Return a request or an answer other than a job.

    Raises:
        BadAnswerError: the body is no JSON of that shape, even read tolerantly.
    """
    try:
        return msgspec.json.decode(body, type=shape, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        raw: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadAnswerError(f"expected JSON, got {len(body)} bytes of something else") from error
    try:
        return _convert(_without_nulls(raw), shape, droppable=_ANYTHING)
    except msgspec.ValidationError as error:
        raise BadAnswerError(f"the JSON has another shape: {error}") from error


# --- the job ------------------------------------------------------------------------------------

# A wrong type here costs the job nothing that its author would miss; everything else is needed.
_NOT_NEEDED = re.compile(
    r"\$\.(job_info|features|allow_git_fetch|cache)\b"
    r"|\$\.git_info\.(before_sha|ref_type|protected|repo_object_format|depth)\b"
    r"|\$\.steps\[\d+\]\.(timeout|when|allow_failure)\b"
    r"|\$\.(image|services\[\d+\])\.(ports|alias)\b"
    r"|\$\.variables\[\d+\]\.(public|raw)\b"
    r"|\$\.artifacts\[\d+\]\.(expire_in|name)\b"
    r"|\$\.dependencies\[\d+\]\.(name|artifacts_file\.size)\b"
)
_ANYTHING = re.compile("")
_PATH = re.compile(r" - at `([^`]*)`\s*$")
_SEGMENT = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_MAX_REPAIRS = 100


def decode_job(body: bytes) -> Job:
    """Return the job of a 201 answer to ``jobs/request``.

    Raises:
        UnreadableJobError: it is a job, but not one that we can run; report it as failed.
        BadAnswerError: it is not even clear which job it is.
    """
    try:
        job = msgspec.json.decode(body, type=Job, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        job = _decode_job_slowly(body)
    _refuse_unsupported(job, body)
    return job


def _decode_job_slowly(body: bytes) -> Job:
    try:
        raw: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadAnswerError(
            f"the coordinator handed out a job in {len(body)} bytes that are not JSON: {error}"
        ) from error
    raw = _without_nulls(raw)
    try:
        identity = msgspec.convert(raw, _Identity, strict=False)
    except msgspec.ValidationError as error:
        raise BadAnswerError(
            f"the coordinator handed out a job without a readable id and token: {error}"
        ) from error
    try:
        return _convert(raw, Job, droppable=_NOT_NEEDED)
    except msgspec.ValidationError as error:
        raise UnreadableJobError(
            f"cannot read this job as the coordinator sent it: {error}",
            job_id=identity.id,
            token=identity.token,
        ) from error


def _convert(raw: Json, shape: type[T], *, droppable: re.Pattern[str]) -> T:
    """Convert, dropping values of a wrong type at the paths that ``droppable`` matches."""
    for _ in range(_MAX_REPAIRS):
        try:
            return msgspec.convert(raw, shape, strict=False)
        except msgspec.ValidationError as error:
            found = _PATH.search(str(error))
            path = found[1] if found else "$"
            if not droppable.match(path) or not _drop(raw, path):
                raise
    return msgspec.convert(raw, shape, strict=False)


def _drop(raw: Json, path: str) -> bool:
    """Remove the value at a JSON path such as ``$.services[1].alias``; whether it was there."""
    segments = [(name, index) for name, index in _SEGMENT.findall(path)]
    parent: Json = raw
    for name, index in segments[:-1]:
        parent = _child(parent, name, index)
    if not segments:
        return False
    name, index = segments[-1]
    if isinstance(parent, dict) and name in parent:
        del parent[name]
        return True
    if isinstance(parent, list) and index and int(index) < len(parent):
        del parent[int(index)]
        return True
    return False


def _child(parent: Json, name: str, index: str) -> Json:
    if isinstance(parent, dict):
        return parent.get(name)
    if isinstance(parent, list) and index and int(index) < len(parent):
        return parent[int(index)]
    return None


def _without_nulls(value: Json) -> Json:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value if entry is not None]
    return value


def _refuse_unsupported(job: Job, body: bytes) -> None:
    extra = msgspec.json.decode(body, type=_Unsupported, strict=False)
    if msgspec.json.decode(extra.run):
        raise UnreadableJobError(
            "this job uses `run:`, which this runner does not support yet;"
            " remove `run:` from the job or give it the tag of another runner",
            job_id=job.id,
            token=job.token,
        )


# --- errors in answers --------------------------------------------------------------------------


def error_text(body: bytes) -> str:
    """Return what an error answer says, ``""`` if it says nothing readable.

    GitLab writes ``{"message": "text"}``, ``{"message": {"key": ["text"]}}`` or ``{"error": …}``.
    """
    try:
        raw: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if not isinstance(raw, dict):
        return ""
    message = raw.get("message") or raw.get("error")
    return message if isinstance(message, str) else _message_table(jsonvalue.obj(message))


def _message_table(table: JsonObject) -> str:
    parts = [
        f"{key}: {text}"
        for key in table
        for text in jsonvalue.items(table, key)
        if isinstance(text, str)
    ]
    return ", ".join(parts)
