"""Child pipelines as far as they can be known before anything runs: those of files that are there.

What they would be started with is guessed from the bridge: variables that a job hands on are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context, Fetcher, FetchError, RemoteFile
from podlane.compiler.files.fetching import PARENT_PIPELINE
from podlane.compiler.output.compilation import Compilation, Outcome
from podlane.coordinator.children.childconfig import MAIN
from podlane.coordinator.events import full_name
from podlane.coordinator.state import bridges
from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.model.pipeline import Pipeline, Trigger


@dataclass(frozen=True, slots=True)
class Child:
    """The pipeline that a bridge would start. ``name`` is the bridge's, behind those above it."""

    name: str
    trigger: Trigger
    compilation: Compilation

    def findings(self) -> list[Diagnostic]:
        """Return what is wrong with it, as warnings: the parent is valid all the same.

        Whether its rules let any job in is not known yet, and not told.
        """
        if self.compilation.outcome in {Outcome.FILTERED, Outcome.EMPTY}:
            return []
        found = [*self.compilation.diagnostics, *self.compilation.run_refusals]
        return [self._told(finding) for finding in found]

    def source(self, file: str) -> str | None:
        """Return the text of a file that it was compiled from."""
        return self.compilation.sources.get(file)

    def _told(self, finding: Diagnostic) -> Diagnostic:
        place = finding.place
        if place.file == MAIN:
            file, line, column = self.trigger.place.rsplit(":", 2)
            place = Place(file=file, line=int(line), column=int(column))
        message = f"child pipeline of {self.name}: {finding.message}"
        return replace(finding, message=message, place=place, severity=Severity.WARNING)


@dataclass(frozen=True, slots=True)
class _ChildFiles:
    """The project's files, with the child's main file among them."""

    main: str
    project: Fetcher

    def read_local(self, path: str) -> bytes | str | None:
        return self.main if path == MAIN else self.project.read_local(path)

    def list_files(self) -> Sequence[str]:
        return self.project.list_files()

    def changed_files(self, compare_to: str | None) -> Sequence[str] | None:
        return self.project.changed_files(compare_to)

    def object_id(self, path: str) -> str | None:
        return self.project.object_id(path)

    def last_commit(self, path: str) -> str | None:
        return self.project.last_commit(path)

    def read_remote(self, file: RemoteFile) -> bytes | str:
        if file.kind == "artifact":
            raise FetchError(f"job `{file.file}` has not made `{file.location}` yet")
        return self.project.read_remote(file)


def known(
    pipeline: Pipeline, files: Fetcher, context: Context, above: tuple[str, ...] = ()
) -> Iterator[Child]:
    """Yield the children of a pipeline, and theirs, but those that a job has yet to make."""
    for job in pipeline.jobs:
        trigger = job.trigger
        if trigger is None or trigger.artifact_jobs or len(above) >= bridges.MAX_NESTED_CHILDREN:
            continue
        seen = {one.key: one for one in (*pipeline.predefined, *job.variables, *context.given)}
        given = bridges.forwarded(trigger, seen=seen, dotenv=(), given=context.given)
        own = replace(context, source=PARENT_PIPELINE, given=given, inputs={})
        compilation = compile_pipeline(MAIN, _ChildFiles(trigger.content, files), own)
        path = (*above, job.name)
        yield Child(full_name(above, job.name), trigger, compilation)
        if compilation.pipeline is not None:
            yield from known(compilation.pipeline, files, own, path)
