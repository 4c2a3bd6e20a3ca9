"""What somebody asks a coordinator to run, and the snapshot of the sources it is run on."""

from __future__ import annotations

from fnmatch import fnmatchcase

from podlane.compiler.context import ScopedVariable
from podlane.compiler.facts import GitFacts, MergeRequest
from podlane.model.frozen import Frozen
from podlane.model.job import Variable
from podlane.model.pipeline import Pipeline


class IncludedFile(Frozen, frozen=True, kw_only=True):
    """A file from elsewhere, as ``compiler.context.RemoteFile`` names it, with its content."""

    kind: str
    location: str
    content: bytes
    file: str = ""
    ref: str = ""


class ChildFacts(Frozen, frozen=True, kw_only=True):
    """What child pipelines are compiled with, beside the snapshot: what the parent's compilation knew.

    ``scoped`` are the project's variables. ``git`` None: as the snapshot says. ``changes`` are what
    ``rules:changes`` goes by; None: not known. ``included`` are files from elsewhere that may be
    included. ``allow_unsupported``: run a child although a run cannot honour all of it.
    """

    scoped: tuple[ScopedVariable, ...] = ()
    git: GitFacts | None = None
    merge_request: MergeRequest | None = None
    changes: tuple[str, ...] | None = None
    included: tuple[IncludedFile, ...] = ()
    allow_unsupported: bool = False


class Submission(Frozen, frozen=True, kw_only=True):
    """A compiled pipeline, the working tree to run it on, and the variables given at the start.

    ``source`` is an absolute path on the coordinator's machine. ``ref`` None: the branch that is
    checked out there; with ``is_tag`` it is a tag's name. ``predefined`` adds GitLab's own variables
    that only the starter knows (``CI_PIPELINE_SOURCE``, ``CI_MERGE_REQUEST_*``); the coordinator's
    own values stay. ``for_children`` matters where a bridge starts a child pipeline.
    ``play`` has the manual jobs that start without a person, by their ``events.full_name``.
    """

    pipeline: Pipeline
    source: str
    variables: tuple[Variable, ...] = ()
    predefined: tuple[Variable, ...] = ()
    ref: str | None = None
    is_tag: bool = False
    config_file: str = ".gitlab-ci.yml"
    for_children: ChildFacts = ChildFacts()
    play: tuple[str, ...] = ()

    @property
    def default_branch(self) -> str:
        """What the starter's rules took for the default branch; empty when it did not say."""
        found = (one.value for one in self.predefined if one.key == "CI_DEFAULT_BRANCH")
        return next(found, "")


class Snapshot(Frozen, frozen=True, kw_only=True):
    """A commit of the working tree in a repository of ours, and what CI variables say of it.

    ``before_sha`` is 40 zeros without a parent. ``repository`` is the directory's name below the
    coordinator's data directory. ``project_path`` is that of the user's ``origin``, such as
    ``group/app``. The rest are settings of the project, most under GitLab's names. ``protected_refs``:
    further protected branches, with ``*`` for anything; ``protected_tags``: tags.
    ``ci_separated_caches``: protected refs have caches of their own.
    ``jobs_cache_index``: a new one leaves all older caches behind; None: none.
    """

    repository: str
    project_path: str
    sha: str
    before_sha: str
    ref: str
    is_tag: bool = False
    default_branch: str = "main"
    message: str = ""
    author: str = ""
    timestamp: str = ""
    object_format: str = "sha1"
    protected_refs: tuple[str, ...] = ()
    protected_tags: tuple[str, ...] = ()
    ci_separated_caches: bool = True
    jobs_cache_index: int | None = None

    @property
    def protected(self) -> bool:
        """Whether the ref is protected: the default branch, or what the coordinator was told."""
        if self.is_tag:
            return any(fnmatchcase(self.ref, pattern) for pattern in self.protected_tags)
        patterns = self.protected_refs
        return self.ref == self.default_branch or any(fnmatchcase(self.ref, p) for p in patterns)
