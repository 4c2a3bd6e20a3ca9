"""Put a job's inputs where its texts name them, before anything else is done with the job.

As in GitLab Runner: the scripts, the image and the services with their options, artifacts and caches;
not the job's variables and hooks. A job without inputs keeps every ``${{``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from podlane.model.job import Artifact, Cache, Image, Job, JobInput, Step
from podlane.runner.configuration import feature_flags
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.job.plan import RefusedJobError
from podlane.runner.moa import values
from podlane.runner.moa.errors import MoaError, SensitiveError
from podlane.runner.moa.evaluate import Scope
from podlane.runner.moa.template import expand
from podlane.runner.moa.values import Plain

FLAG = "FF_ENABLE_JOB_INPUTS_INTERPOLATION"
_KINDS = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "array": "array",
    "struct": "object",
}
_SCRIPTS = frozenset({"script", "after_script"})
Item = TypeVar("Item")


def interpolated(job: Job, runner: RunnerSettings, note: Callable[[str], None]) -> Job:
    """Return the job with the values of its inputs in their places.

    ``note`` is told of each text that had an expression (``""``), and of the kind of an error.

    Raises:
        RefusedJobError: an input or an expression is wrong; a sentence for the job's author.
    """
    if not job.inputs:
        return job
    flags = feature_flags.resolve(runner.feature_flags, runner.variables_of(job), timestamps=False)
    if not flags[FLAG]:
        return job
    writer = _Writer(_scope(job.inputs), note)
    return msgspec.structs.replace(
        job,
        steps=tuple(writer.step(step) for step in job.steps),
        image=writer.image("image", job.image),
        services=_each(job.services, lambda service: writer.image("services", service)),
        artifacts=_each(job.artifacts, writer.artifact),
        cache=_each(job.cache, writer.cache),
    )


def _scope(inputs: Iterable[JobInput]) -> Scope:
    known: dict[str, Plain] = {}
    sensitive = set()
    for entry in inputs:
        value, plain = entry.value, values.of_json(entry.value.content)
        if problem := _problem(entry, plain):
            raise RefusedJobError(problem, hint="GitLab sent it so; see `inputs` of the job")
        known.setdefault(entry.key, plain)
        if value.sensitive:
            sensitive.add(entry.key)
    return Scope(known, frozenset(sensitive))


def _problem(entry: JobInput, plain: Plain) -> str | None:
    """Return what is wrong with an input, in GitLab Runner's words."""
    if not entry.key:
        return "input without key"
    if plain is None:
        return f'input "{entry.key}" is null, must have valid value'
    announced = _KINDS.get(entry.value.type)
    if announced is None:
        return f'invalid type "{entry.value.type}" for input "{entry.key}": type is unknown'
    if announced != values.kind(plain):
        return (
            f'mismatching type of input "{entry.key}". Announced "{announced}",'
            f' but got "{values.kind(plain)}"'
        )
    return None


def _each(
    items: tuple[Item, ...] | None, change: Callable[[Item], Item]
) -> tuple[Item, ...] | None:
    return None if items is None else tuple(map(change, items))


class _Writer:
    """Writes values into texts; what goes wrong is told with the place of the text."""

    def __init__(self, scope: Scope, note: Callable[[str], None]) -> None:
        self._scope = scope
        self._note = note

    def step(self, step: Step) -> Step:
        """Return a step of a script; others have no inputs."""
        if step.name not in _SCRIPTS:
            return step
        return msgspec.structs.replace(step, script=self._texts(step.name, step.script))

    def image(self, where: str, image: Image) -> Image:
        """Return the image, or a service."""
        options = image.executor_opts
        kubernetes = options.kubernetes if options is not None else None
        if options is not None and kubernetes is not None and isinstance(kubernetes.user, str):
            user = self._text(f"{where}:kubernetes:user", kubernetes.user)
            kubernetes = msgspec.structs.replace(kubernetes, user=user)
            options = msgspec.structs.replace(options, kubernetes=kubernetes)
        return msgspec.structs.replace(
            image, executor_opts=options,
            name=self._text(f"{where}:name", image.name),
            command=self._texts(f"{where}:command", image.command),
            entrypoint=self._texts(f"{where}:entrypoint", image.entrypoint),
            pull_policy=self._texts(f"{where}:pull_policy", image.pull_policy),
        )  # fmt: skip

    def artifact(self, artifact: Artifact) -> Artifact:
        """Return one of the artifacts."""
        return msgspec.structs.replace(
            artifact,
            name=self._text("artifacts:name", artifact.name),
            paths=self._texts("artifacts:paths", artifact.paths),
            exclude=self._texts("artifacts:exclude", artifact.exclude),
            when=self._text("artifacts:when", artifact.when),
            expire_in=self._text("artifacts:expire_in", artifact.expire_in),
        )

    def cache(self, cache: Cache) -> Cache:
        """Return one of the caches."""
        return msgspec.structs.replace(
            cache,
            key=self._text("cache:key", cache.key),
            policy=self._text("cache:policy", cache.policy),
            paths=self._texts("cache:paths", cache.paths),
            when=self._text("cache:when", cache.when),
            fallback_keys=self._texts("cache:fallback_keys", cache.fallback_keys),
        )

    def _texts(self, where: str, texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if texts is None:
            return None
        return tuple(
            self._text(f"{where}, entry {number}", text) for number, text in enumerate(texts, 1)
        )

    def _text(self, where: str, text: str) -> str:
        try:
            written, found = expand(text, self._scope)
        except MoaError as error:
            self._note(error.kind)
            said = str(error)
            if not isinstance(error, SensitiveError):
                said = f"failed to interpolate job inputs: {said}"
            raise RefusedJobError(said, hint=f"it is in {where} of the job") from error
        if found:
            self._note("")
        return written
