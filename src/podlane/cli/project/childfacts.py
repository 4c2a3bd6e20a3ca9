"""What child pipelines are compiled with, gathered when their parent's run begins."""

from __future__ import annotations

from podlane.cli.project.asked import current
from podlane.cli.project.checkout import Checkout
from podlane.cli.project.context import Changes, context_of
from podlane.cli.project.directory import Project
from podlane.compiler.context import FetchError, RemoteFile
from podlane.coordinator.submission import ChildFacts, IncludedFile
from podlane.model.pipeline import Pipeline


def gather(project: Project, pipeline: Pipeline, *, allow_unsupported: bool) -> ChildFacts:
    """Return the facts for the children of a pipeline; nothing is looked up where it has no bridge."""
    if not any(job.bridge for job in pipeline.jobs):
        return ChildFacts(allow_unsupported=allow_unsupported)
    checkout, asked = Checkout(project.root), current()
    context = context_of(checkout, asked, str(project.file), ())
    changes = Changes(checkout, asked).files(None)
    return ChildFacts(
        scoped=context.scoped,
        git=context.git,
        merge_request=context.merge_request,
        changes=None if changes is None else tuple(changes),
        included=tuple(_included(project)),
        allow_unsupported=allow_unsupported,
    )


def _included(project: Project) -> list[IncludedFile]:
    """Return all files from elsewhere that are locked and here: which of them a child wants, it says."""
    store, found = project.includes(), list[IncludedFile]()
    for entry in store:
        file = RemoteFile(kind=entry.kind, location=entry.location, file=entry.file, ref=entry.ref)
        try:
            content = store.read(file)
        except FetchError:  # the child that wants it will say so
            continue
        found.append(
            IncludedFile(
                kind=entry.kind, location=entry.location, file=entry.file, ref=entry.ref,
                content=content,
            )
        )  # fmt: skip
    return found
