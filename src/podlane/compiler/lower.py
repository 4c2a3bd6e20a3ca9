"""A configured job to the model's ``PipelineJob``."""

from __future__ import annotations

from podlane.compiler.graph import stage_of
from podlane.compiler.keywords import artifacts, control, image, needs, script, values
from podlane.compiler.keywords.variables import lower_variables
from podlane.compiler.source import Map, Node
from podlane.model.job import Variable
from podlane.model.pipeline import AllowFailure, PipelineJob, When


def lower_job(name: str, job: Map, root_variables: Node) -> PipelineJob:
    """Return a checked job as the model's."""
    when = When(str(job.get("when") or When.ON_SUCCESS))
    allowed = control.lower_allow_failure(job.get("allow_failure"))
    if allowed is None:
        allowed = AllowFailure(always=when is When.MANUAL and "rules" not in job)
    dependencies = job.get("dependencies")
    return PipelineJob(
        name=name,
        stage=stage_of(job),
        script=script.commands(job.get("script")),
        before_script=script.commands(job.get("before_script")),
        after_script=script.commands(job.get("after_script")),
        image=image.lower_image(job.get("image")),
        services=image.lower_services(job.get("services")),
        variables=layered(lower_variables(root_variables), lower_variables(job.get("variables"))),
        when=when,
        allow_failure=allowed,
        needs=needs.lower_needs(job.get("needs")),
        dependencies=None if dependencies is None else tuple(values.strings(dependencies)),
        artifacts=artifacts.lower_artifacts(job.get("artifacts")),
        tags=tuple(values.strings(job.get("tags"))),
        timeout_seconds=control.seconds(job.get("timeout")),
    )


def layered(*layers: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Return variables of several layers, later ones replacing earlier ones of the same name."""
    merged: dict[str, Variable] = {}
    for layer in layers:
        for variable in layer:
            merged[variable.key] = variable
    return tuple(merged.values())
