"""The variables of a job, layer by layer, and the views that rules, globs and names need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from podlane.compiler.context import Context
from podlane.compiler.jobs.matrix import ConfiguredJob
from podlane.compiler.keywords import inherit
from podlane.compiler.keywords.variables import lower_variables
from podlane.compiler.source import Map, Node
from podlane.compiler.variables.expansion import ExpandedVariables, expand
from podlane.compiler.variables.predefined import group_name, pipeline_variables, slug
from podlane.model.job import Variable


class Values(Mapping[str, str]):
    """Variables by their raw values: what expressions compare. Of several layers the last wins."""

    def __init__(self, *layers: Mapping[str, Variable]) -> None:
        self.layers = layers
        self.variables = {key: one for layer in layers for key, one in layer.items()}

    def __getitem__(self, name: str) -> str:
        return self.variables[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    def expanded(self) -> ExpandedVariables:
        """Return the variables expanded through one another."""
        return ExpandedVariables(*self.layers)


class Layers:
    """Builds the variables of each job. Later layers win (GitLab's order of precedence)."""

    def __init__(self, context: Context, root: Node) -> None:
        self._predefined = {
            key: Variable(key=key, value=value, public=True, raw=True)
            for key, value in pipeline_variables(context).items()
        }
        self._project = {v.key: v for v in context.project}
        visible = (v for v in context.scoped if not v.protected or context.on_protected_ref)
        # The most specific scope last: it wins.
        self._scoped = sorted(visible, key=lambda one: len(one.scope.replace("*", "")))
        self._given = {v.key: v for v in context.given}
        self._root = {variable.key: variable for variable in lower_variables(root)}

    @property
    def predefined(self) -> tuple[Variable, ...]:
        """GitLab's own variables of the pipeline."""
        return tuple(self._predefined.values())

    @property
    def root(self) -> tuple[Variable, ...]:
        """The global variables, those of the workflow's rule included."""
        return tuple(self._root.values())

    def override_root(self, value: Node) -> None:
        """Put the variables of a matched ``workflow:rules`` before and over the global ones."""
        self._root = merged(self._root, {one.key: one for one in lower_variables(value)})

    def pipeline(self) -> Values:
        """Return what ``workflow:rules`` see."""
        own = {"CI_NODE_TOTAL": Variable(key="CI_NODE_TOTAL", value="1", public=True)}
        return Values(self._predefined, own, self._root, self._everywhere(), self._given)

    def include(self) -> Values:
        """Return what ``include`` sees: no variable of the file."""
        return Values(self._predefined, self._everywhere(), self._given)

    def of_job(self, job: ConfiguredJob) -> dict[str, Variable]:
        """Return the YAML variables of a job: global, its own, its permutation."""
        written = job.written
        found = self._root
        if written.get("inherit") is not None:
            found = {
                k: v for k, v in self._root.items() if inherit.inherits(written, "variables", k)
            }
        own = {v.key: v for v in lower_variables(written.get("variables"))}
        if job.matrix:
            own |= {k: Variable(key=k, value=v, public=True) for k, v in job.matrix.items()}
        return merged(found, own)

    def project_of(self, job: ConfiguredJob, yaml: Mapping[str, Variable]) -> dict[str, Variable]:
        """Return the project's variables for a job: those for all environments, and for its own."""
        if not self._scoped:
            return self._project
        environment = job.written.get("environment")
        name = environment.get("name") if isinstance(environment, Map) else environment
        if not isinstance(name, str):
            return self._everywhere()
        seen = Values(self._predefined, yaml, self._everywhere(), self._given)
        expanded = expand(name, seen.expanded())
        scoped = {one.variable.key: one.variable for one in self._scoped if one.fits(expanded)}
        return {**self._project, **scoped}

    def seen_by(
        self, job: ConfiguredJob, yaml: Mapping[str, Variable], project: Mapping[str, Variable]
    ) -> Values:
        """Return what the rules of a job see."""
        own = {k: Variable(key=k, value=v, public=True) for k, v in _of(job)}
        seen = Values(self._predefined, own, yaml, project, self._given)
        name = own.get("CI_ENVIRONMENT_NAME")
        if name is None or "$" not in name.value:
            return seen
        expanded = expand(name.value, seen.expanded())
        own["CI_ENVIRONMENT_NAME"] = Variable(key=name.key, value=expanded, public=True)
        return Values(self._predefined, own, yaml, project, self._given)

    def _everywhere(self) -> dict[str, Variable]:
        everywhere = {v.variable.key: v.variable for v in self._scoped if v.scope == "*"}
        return {**self._project, **everywhere} if everywhere else self._project


def merged(below: dict[str, Variable], over: dict[str, Variable]) -> dict[str, Variable]:
    """Return variables of the YAML over others, in GitLab's order: the newer ones first."""
    return over | {key: one for key, one in below.items() if key not in over}


def _of(job: ConfiguredJob) -> Iterator[tuple[str, str]]:
    written = job.written
    stage = written.get("stage")
    yield "CI_JOB_NAME", job.name
    yield "CI_JOB_NAME_SLUG", slug(job.name)
    yield "CI_JOB_GROUP_NAME", group_name(job.name)
    yield "CI_JOB_STAGE", stage if isinstance(stage, str) else "test"
    yield "CI_NODE_TOTAL", str(job.total)
    if job.index is not None:
        yield "CI_NODE_INDEX", str(job.index)
    if written.get("when") in ("manual", "delayed"):
        yield "CI_JOB_MANUAL", "true"
    environment = written.get("environment")
    name = environment.get("name") if isinstance(environment, Map) else environment
    if isinstance(name, str):
        yield "CI_ENVIRONMENT_NAME", name
        action = environment.get("action") if isinstance(environment, Map) else None
        yield "CI_ENVIRONMENT_ACTION", action if isinstance(action, str) else "start"
        for key in ("deployment_tier", "url"):
            value = environment.get(key) if isinstance(environment, Map) else None
            if isinstance(value, str):
                yield f"CI_ENVIRONMENT_{'TIER' if key == 'deployment_tier' else 'URL'}", value
