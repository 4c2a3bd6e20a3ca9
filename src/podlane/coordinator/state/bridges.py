"""What a bridge does and becomes: which variables its child gets, and how the child's state comes back.

Source: GitLab's ``Ci::Bridge``, ``Ci::CreateDownstreamPipelineService`` and
``Gitlab::Ci::Variables::Downstream::Generator``. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from podlane.compiler.variables.expansion import expand, references
from podlane.coordinator.state.lifecycle import Composite
from podlane.model.failures import FailureReason
from podlane.model.job import Variable
from podlane.model.pipeline import Trigger
from podlane.model.states import FINISHED, JobEvent, JobState

MAX_NESTED_CHILDREN = 2
MAX_FAMILY = 1000
_DEPEND: dict[str, JobEvent] = {
    Composite.SUCCESS: JobEvent.SUCCEED,
    Composite.CANCELED: JobEvent.CANCEL,
    Composite.FAILED: JobEvent.FAIL,
    Composite.SKIPPED: JobEvent.FAIL,
}
_MIRROR: dict[str, JobEvent] = {
    **_DEPEND,
    Composite.SKIPPED: JobEvent.SKIP,
    Composite.MANUAL: JobEvent.HOLD,
}
# Only a running job has these; they are in no bridge's view.
_RUN_TIME = frozenset(
    {"CI_JOB_ID", "CI_JOB_URL", "CI_JOB_STARTED_AT", "CI_JOB_TIMEOUT", "CI_RUNNER_ID",
     "CI_RUNNER_DESCRIPTION", "CI_RUNNER_TAGS", "CI_REGISTRY_USER", "CI_DEPENDENCY_PROXY_USER"}
)  # fmt: skip


def inherited(strategy: str, child: str, bridge: JobState) -> JobEvent | None:
    """Return what the state of its child does to a bridge; None: nothing (yet).

    ``child`` is empty while the child goes on. Without a strategy a bridge is done once there is one.
    """
    if bridge is not JobState.RUNNING:
        return None
    if not strategy:
        return JobEvent.SUCCEED
    return (_MIRROR if strategy == "mirror" else _DEPEND).get(child)


def resumed(strategy: str, bridge: JobState) -> JobEvent | None:
    """Return what happens to a bridge whose child goes on after it had come to rest."""
    rests = bridge in FINISHED or bridge is JobState.MANUAL
    return JobEvent.RESUME if strategy and rests else None


def limit_reached(*, ancestors: int, family: int) -> tuple[FailureReason, str] | None:
    """Return why a bridge may not start a child, with GitLab's sentence.

    ``ancestors`` counts the bridge's pipeline and those above it, ``family`` all pipelines that come
    from the same one.
    """
    if ancestors > MAX_NESTED_CHILDREN:
        return (
            FailureReason.REACHED_MAX_DESCENDANT_PIPELINES_DEPTH,
            "You reached the maximum depth of child pipelines",
        )
    if family >= MAX_FAMILY:
        return (
            FailureReason.REACHED_MAX_PIPELINE_HIERARCHY_SIZE,
            "The downstream pipeline tree is too large",
        )
    return None


def visible(predefined: Iterable[Variable]) -> tuple[Variable, ...]:
    """Return GitLab's own variables that a bridge may refer to: none of a running job, no token."""
    return tuple(v for v in predefined if v.public and v.key not in _RUN_TIME)


def forwarded(
    trigger: Trigger,
    *,
    seen: Mapping[str, Variable],
    dotenv: Iterable[Variable],
    given: Iterable[Variable],
) -> tuple[Variable, ...]:
    """Return the variables that the child is started with; of one name the last is left.

    ``seen`` is all that the bridge knows: values are expanded once with it, and a file that one refers
    to goes along. ``given`` are those that the bridge's own pipeline was started with.
    """
    chosen: list[Variable] = []
    if trigger.forward_yaml_variables:
        chosen += trigger.variables
    if trigger.forward_pipeline_variables:
        chosen += [*dotenv, *given]
    # The path of a file is known in the job that gets it.
    known = {key: f"${key}" if one.file else one.value for key, one in seen.items()}
    found: dict[str, Variable] = {}
    for one in chosen:
        files = [seen[name] for name in references(one) if name in seen and seen[name].file]
        value = one.value if one.raw else expand(one.value, known)
        for variable in (msgspec.structs.replace(one, value=value), *files):
            found.pop(variable.key, None)
            found[variable.key] = variable
    return tuple(found.values())
