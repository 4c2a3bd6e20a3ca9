"""What the compiler is told about the repository and the event: plain values, gathered by the caller."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_SCP = re.compile(r"\A(?:[\w.-]+@)?([\w.-]+):(?!//)(.+)\Z")
_URL = re.compile(r"\A(\w+)://(?:[^/@]*@)?([^/:]+)(?::(\d+))?/(.+)\Z")
DEFAULT_HOST = "gitlab.com"
_PORTS = {"https": "443", "http": "80"}


class Event(StrEnum):
    """The event profiles of ``--event``."""

    PUSH = "push"
    MERGE_REQUEST = "merge_request"
    TAG = "tag"
    SCHEDULE = "schedule"
    WEB = "web"
    API = "api"
    TRIGGER = "trigger"
    PARENT_PIPELINE = "parent_pipeline"

    @property
    def source(self) -> str:
        """The event as ``CI_PIPELINE_SOURCE`` has it."""
        if self is Event.MERGE_REQUEST:
            return "merge_request_event"
        return "push" if self is Event.TAG else str(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the project lives, read from a remote's URL."""

    protocol: str = "https"
    host: str = DEFAULT_HOST
    port: str = "443"
    path: str = "local/project"

    @property
    def fqdn(self) -> str:
        """The host, with its port where it is not the protocol's own."""
        return self.host if _PORTS.get(self.protocol) == self.port else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The server's address."""
        return f"{self.protocol}://{self.fqdn}"


def server_of(remote_url: str) -> Server | None:
    """Return the server and the project's path of a git remote; ssh becomes https on port 443."""
    scp = _SCP.match(remote_url) if "://" not in remote_url else None
    if scp is not None:
        return Server(host=scp[1], path=_project_path(scp[2]))
    url = _URL.match(remote_url)
    if url is None or url[1] not in ("http", "https", "ssh", "git"):
        return None
    protocol = url[1] if url[1] in _PORTS else "https"
    port = (url[3] if url[1] in _PORTS else None) or _PORTS[protocol]
    return Server(protocol=protocol, host=url[2], port=port, path=_project_path(url[4]))


def _project_path(raw: str) -> str:
    return raw.strip("/").removesuffix(".git")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRequest:
    """The merge request of a ``merge_request`` event."""

    iid: int = 1
    source_branch: str = ""
    target_branch: str = ""
    base_sha: str = ""
    title: str = ""
    description: str = ""
    labels: tuple[str, ...] = ()
    draft: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GitFacts:
    """A commit of a checkout. Times are ISO 8601 texts; ``remote_url`` is that of ``origin``."""

    sha: str = ""
    before_sha: str = ""
    message: str = ""
    author: str = ""
    committed_at: str = ""
    tag_message: str = ""
    default_branch: str = "main"
    remote_url: str = ""
    protected: bool | None = None
    user_name: str = ""
    user_email: str = ""
