"""What the compiler is told from outside: files through a ``Fetcher``, facts as values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from podlane.compiler.facts import DEFAULT_HOST, GitFacts, MergeRequest, Server, server_of
from podlane.kit.jsonvalue import Json
from podlane.model.job import Variable


class FetchError(Exception):
    """A file could not be had; the message is GitLab's sentence where it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file that is not in the project: what ``include`` asks a fetcher for.

    ``kind`` is ``remote`` (``location`` a URL), ``project`` (``location`` the project's path, with
    ``file`` and ``ref``), ``template`` (``location`` its name) or ``component`` (its whole address); for
    a child pipeline also ``artifact`` (``location`` a path in the archive of the parent's job ``file``).
    """

    kind: str
    location: str
    file: str = ""
    ref: str = ""


class Fetcher(Protocol):
    """Where files come from. The compiler does no I/O of its own."""

    def read_local(self, path: str) -> bytes | str | None:
        """Return the file at ``path`` (relative to the project's root), or None if there is none.

        Raises:
            FetchError: it is there and cannot be read, or it lies outside of the project.
        """
        ...

    def list_files(self) -> Sequence[str]:
        """Return the paths of the commit's files, for globs and ``rules:exists``."""
        ...

    def changed_files(self, compare_to: str | None) -> Sequence[str] | None:
        """Return the files that changed (since ``compare_to``); None when that is not known.

        Raises:
            FetchError: ``compare_to`` is not a ref.
        """
        ...

    def object_id(self, path: str) -> str | None:
        """Return the id that git gives to what is at ``path``, a file or a directory; None: nothing."""
        ...

    def last_commit(self, path: str) -> str | None:
        """Return the id of the last commit that touched ``path``, a pathspec of git's; None: none did.

        What is not committed counts as touched by a commit to come, with an id made of its content.
        """
        ...

    def read_remote(self, file: RemoteFile) -> bytes | str:
        """Return a file from elsewhere.

        Raises:
            FetchError: it cannot be had, with the sentence for the user.
        """
        ...


def blob_id(content: bytes) -> str:
    """Return the id that git gives to a file's content."""
    head = f"blob {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


def offline_sentence(file: RemoteFile) -> str:
    """Return why a file from elsewhere is not available, for fetchers without a network."""
    return (
        f"include:{file.kind} `{file.location}` is not in the project and cannot be fetched offline; "
        "fetch it first, or copy the file into the project and use include:local"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopedVariable:
    """A project's variable for environments whose name matches ``scope`` (``*`` is any text).

    ``protected``: only pipelines of protected refs have it.
    """

    scope: str
    variable: Variable
    protected: bool = False

    def fits(self, environment: str) -> bool:
        """Whether an environment's name matches the scope."""
        pattern = ".*".join(re.escape(part) for part in self.scope.split("*"))
        return re.fullmatch(pattern, environment) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The facts a pipeline is compiled for.

    ``predefined`` replace variables that ``predefined.py`` computes (lowest precedence), ``project`` are
    the project's, group's and instance's (``scoped`` those for certain environments; the most specific
    scope wins), ``given`` the pipeline's own (``--variable``; highest precedence).
    ``source`` is ``CI_PIPELINE_SOURCE``; ``ref`` a branch or tag name (of a merge request: its source
    branch). ``inputs`` are values for the main file's ``spec:inputs``.
    """

    predefined: Mapping[str, str] = field(default_factory=dict)
    project: tuple[Variable, ...] = ()
    scoped: tuple[ScopedVariable, ...] = ()
    given: tuple[Variable, ...] = ()
    inputs: Mapping[str, Json] = field(default_factory=dict)
    source: str = "push"
    ref: str = "main"
    tag: bool = False
    sha: str = ""
    git: GitFacts = field(default_factory=GitFacts)
    merge_request: MergeRequest | None = None
    schedule_description: str = ""
    config_path: str = ".gitlab-ci.yml"
    server_host: str = DEFAULT_HOST
    project_path: str = ""

    @property
    def server(self) -> Server:
        """Where the project lives: as its remote says, else as it was given."""
        path = self.project_path or "local/project"
        return server_of(self.git.remote_url) or Server(host=self.server_host, path=path)

    @property
    def on_protected_ref(self) -> bool:
        """Whether the ref is protected: as the facts say, else the default branch is."""
        if self.git.protected is not None:
            return self.git.protected
        return self.ref == self.git.default_branch and not self.tag
