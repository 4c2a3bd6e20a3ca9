"""Why a command cannot be run in a container, and whether that will ever change. Pure.

An exec that the node answers again and again in the same way will not work later either. One without an
answer says nothing: a proxy, the API server or the network may be away for a while.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from podlane.kit.errors import PermanentError, PodlaneError
from podlane.kube.channels import ExecStatus

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
# Container runtimes and kubelets in their own words, in lower case.
_FINAL = (
    "executable file not found",
    "no such file or directory",
    "permission denied",
    "exec format error",
    "operation not permitted",
)
_STDOUT = 1
_RECORD = re.compile(rb"(stage|pos|truncated|lost|alive|done|missing)=")
_FINAL_TIMES = 3  # in a row
_PATIENCE_SECONDS = 10.0  # for all others: a container that has ended is seen as such before
_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What an exec said. ``final``: trying again is of no use."""

    text: str
    final: bool = False


def of_status(status: ExecStatus, printed: str) -> Refusal | None:
    """Return what a command's end means; None: it ended well, or nobody said how.

    ``printed`` is what it, or the runtime in its place, had to say beside the log.
    """
    if status.exit_code == 0:
        return None
    if status.exit_code is None and not status.reason:
        return None  # the stream broke
    said = ": ".join(part for part in (status.message.strip(), printed.strip()[-_LIMIT:]) if part)
    code = status.exit_code
    final = code in (_NOT_EXECUTABLE, _NOT_FOUND) if code is not None else _is_final(said)
    return Refusal(text=said or f"exit code {code}", final=final)


def of_error(error: PodlaneError) -> Refusal | None:
    """Return what an exec that could not begin means; None: nobody has answered."""
    if isinstance(error, PermanentError):
        return Refusal(text=error.message)
    return Refusal(text=error.message, final=True) if _is_final(error.message) else None


class Beside:
    """What a stream brings that is neither log nor record: the words of a shell or a runtime."""

    def __init__(self) -> None:
        self._stdout = self._stderr = b""
        self._line = b""
        self._ran = False

    def take(self, channel: int, data: bytes) -> bool:
        """Take what came; return whether it shows that the follower runs."""
        if channel == _STDOUT:
            if not self._ran:
                self._stdout = (self._stdout + data)[-_LIMIT:]
            return False
        *lines, self._line = (self._line + data).split(b"\n")
        records = [line for line in lines if _RECORD.match(line)]
        strange = b"\n".join(line for line in lines if not _RECORD.match(line))
        self._stderr = (self._stderr + strange)[-_LIMIT:]
        self._ran = self._ran or bool(records)
        return bool(records)

    @property
    def text(self) -> str:
        """The words. Those on stdout, only when the follower did not print the log there."""
        said = self._stderr + self._line
        return (said if self._ran else said or self._stdout).decode("utf-8", "replace").strip()


class Refusals:
    """The refusals in a row. ``last``: what was said last, of the streams that broke too."""

    def __init__(self) -> None:
        self._times = 0
        self._since: float | None = None
        self.last = ""

    def reset(self) -> None:
        """Forget them: the command ran."""
        self._times, self._since, self.last = 0, None, ""

    def note(self, refusal: Refusal | None, now: float) -> bool:
        """Take note of one more end; return whether there is nothing to hope for."""
        if refusal is None:
            self._times, self._since = 0, None
            return False
        self.last = refusal.text
        self._times = self._times + 1 if refusal.final else 0
        self._since = now if self._since is None else self._since
        return self._times >= _FINAL_TIMES or now - self._since >= _PATIENCE_SECONDS


def _is_final(said: str) -> bool:
    return any(part in said.lower() for part in _FINAL)


def never_followed(container: str, said: str) -> PodlaneError:
    """Return why a job ends whose log nobody can read: its records come on the same way."""
    return PermanentError(
        f'the log of the job cannot be followed: exec in container "{container}": {said}',
        hint="the helper image must bring a shell, dd and stat (GitLab's helper images do), and nothing "
        "in the cluster may forbid commands in running containers",
    )
