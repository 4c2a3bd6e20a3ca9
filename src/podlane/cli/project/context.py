"""The compiler's context from a checkout and what the user asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from podlane.cli.project.asked import Asked
from podlane.cli.project.checkout import DEFAULT_BRANCH, Checkout
from podlane.cli.project.variablesfile import load
from podlane.compiler.context import Context, FetchError
from podlane.compiler.facts import Event, MergeRequest
from podlane.kit.errors import UsageError
from podlane.model.job import Variable


def context_of(
    checkout: Checkout, asked: Asked, config_path: str, variables: Sequence[tuple[str, str]]
) -> Context:
    """Return the context of a pipeline.

    Raises:
        UsageError: the event needs a ref that is not there, or the variables file is not good.
    """
    event = Event(asked.event)
    upstream = checkout.upstream() if event is Event.PUSH else None
    git = checkout.facts(before_sha=upstream or "")
    ref = asked.ref or (checkout.tag() if event is Event.TAG else checkout.branch())
    if ref is None and event is Event.TAG:
        raise UsageError("the commit that is checked out has no tag", hint="name one with --ref")
    if event is Event.TAG and ref is not None:
        git = replace(git, tag_message=checkout.tag_message(ref))
    request = None
    if event is Event.MERGE_REQUEST:
        request = _merge_request(checkout, asked, ref or DEFAULT_BRANCH, git.default_branch)
    return Context(
        given=tuple(Variable(key=key, value=value) for key, value in variables),
        scoped=load(asked.variables_file) if asked.variables_file is not None else (),
        inputs=dict(asked.inputs),
        source=event.source,
        ref=ref or DEFAULT_BRANCH,
        tag=event is Event.TAG,
        sha=git.sha,
        git=git,
        merge_request=request,
        config_path=config_path,
    )


def _merge_request(
    checkout: Checkout, asked: Asked, source: str, default_branch: str
) -> MergeRequest:
    target = asked.target or default_branch
    return MergeRequest(
        source_branch=source,
        target_branch=target,
        base_sha=checkout.merge_base(target) or "",
        title=source,
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """Answers what changed: since ``compare_to``, since what was asked for, or as the event says."""

    checkout: Checkout
    asked: Asked

    def files(self, compare_to: str | None) -> Sequence[str] | None:
        """Return the changed files, uncommitted ones included; None when that is not known.

        Raises:
            FetchError: ``compare_to`` is not a ref of this repository.
        """
        if compare_to is not None:
            base = self.checkout.merge_base(compare_to)
            if base is None:
                raise FetchError("rules:changes:compare_to is not a valid ref")
            return self.checkout.changed_since(base)
        base = self._base()
        return None if base is None else self.checkout.changed_since(base)

    def _base(self) -> str | None:
        """Return what a push would compare with; GitLab knows nothing for tags and schedules."""
        if self.asked.changes_from is not None:
            base = self.checkout.merge_base(self.asked.changes_from)
            if base is None:
                raise UsageError(
                    f"--changes-from {self.asked.changes_from} is not a ref of this repository"
                )
            return base
        if self.asked.event == "merge_request":
            return self.checkout.merge_base(self.asked.target or self.checkout.default_branch())
        return self.checkout.upstream() if self.asked.event == "push" else None
