"""``.gitlab-ci.yml`` to a pipeline: the passes, in GitLab's order. Read this first.

read and include → extends → references → check and apply defaults → parallel → stages and needs →
workflow, rules → model.

Every pass reports into one ``Findings`` and hands on what is sound, so that the user sees all
mistakes at once; GitLab stops at the first of some kinds.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from podlane.compiler.context import Context, Fetcher
from podlane.compiler.files.fetching import FileFinder
from podlane.compiler.files.includes import Includer
from podlane.compiler.files.loader import FileLoader
from podlane.compiler.findings import Findings
from podlane.compiler.jobs.config import Config, configure
from podlane.compiler.jobs.inheritance import Extender
from podlane.compiler.jobs.matrix import expand_parallel
from podlane.compiler.jobs.references import Resolver
from podlane.compiler.output import notices
from podlane.compiler.output.cachekeys import CacheKeys
from podlane.compiler.output.compilation import Compilation, Outcome
from podlane.compiler.output.lower import lower_job
from podlane.compiler.output.refusals import run_refusals
from podlane.compiler.selection.decide import Decider, Decision, check_included, has_real_jobs
from podlane.compiler.selection.graph import GraphCheck, stage_of
from podlane.compiler.selection.rules import Evaluator, Match
from podlane.compiler.source import Map, Mark
from podlane.compiler.variables.expansion import expand
from podlane.compiler.variables.layers import Layers
from podlane.kit.diagnostics import has_errors
from podlane.model.pipeline import Pipeline

NO_PIPELINE = "The pipeline did not run. Review the workflow:rules configuration for the pipeline."
EMPTY_PIPELINE = (
    "The resulting pipeline would have been empty. "
    "Review the rules configuration for the relevant jobs."
)


def compile_pipeline(root: str, fetcher: Fetcher, context: Context) -> Compilation:
    """Compile the configuration whose main file is ``root`` (a path in the project)."""
    with _collector_paused():
        return _Passes(root, fetcher, context).run()


@contextmanager
def _collector_paused() -> Iterator[None]:
    # A compilation makes many objects that all stay and no cycles: looking for garbage meanwhile
    # costs a third of the time on large configurations, and makes the cost grow faster than they do.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            # Else the next collection would walk through all that was made, as the youngest.
            _age()
            gc.enable()


def _age() -> None:
    """Move all objects to the oldest generation, without looking at them."""
    if not gc.get_freeze_count():  # else it is not ours to thaw
        gc.freeze()
        gc.unfreeze()


class _Passes:
    """One compilation."""

    def __init__(self, root: str, fetcher: Fetcher, context: Context) -> None:
        self._root = root
        self._fetcher = fetcher
        self._context = context
        self._findings = Findings(root)
        self._sources: dict[str, str] = {}
        self._tree: Map | None = None
        self._evaluator = Evaluator(fetcher)
        variables = Layers(context, None).include()
        masked = _masked(context)
        self._loader = FileLoader(self._findings, variables, self._sources, masked)
        self._includer = Includer(
            fetcher,
            context,
            self._findings,
            variables,
            self._evaluator,
            self._loader,
            FileFinder(fetcher, context, self._findings, variables),
        )

    def run(self) -> Compilation:
        """Return the result of all passes."""
        tree = self._includer.read_root(self._root)
        self._tree = tree
        if tree is None:
            return self._result()
        self._findings.incomplete = has_errors(self._findings.found)
        extended = Extender(tree, self._findings).extended()
        if self._loader.has_references:
            extended = Resolver(extended, self._findings).resolved()
        config = configure(extended, self._findings)
        jobs = expand_parallel(config.jobs, self._findings)
        if not self._findings.incomplete:
            GraphCheck(jobs, config.stages, self._findings).check()
        if has_errors(self._findings.found):
            return self._result(config)
        layers = Layers(self._context, config.variables)
        decider = Decider(config, self._context, layers, self._evaluator)
        workflow = decider.workflow()
        if workflow is not None and (workflow.rule is None or workflow.rule.get("when") == "never"):
            self._findings.error("workflow", NO_PIPELINE, _workflow_mark(config))
            return self._result(config, workflow=workflow, outcome=Outcome.FILTERED)
        decisions = {name: decider.decide(job) for name, job in jobs.items()}
        return self._seed(config, decisions, workflow, layers)

    def _seed(
        self,
        config: Config,
        decisions: Mapping[str, Decision],
        workflow: Match | None,
        layers: Layers,
    ) -> Compilation:
        included = [decision for decision in decisions.values() if decision.included]
        check_included(decisions, self._findings)
        if has_errors(self._findings.found):
            return self._result(config, decisions, workflow)
        if not has_real_jobs(stage_of(decision.job.written) for decision in included):
            self._findings.error("empty", EMPTY_PIPELINE, config.root.at)
            return self._result(config, decisions, workflow, Outcome.EMPTY)
        for decision in included:
            notices.note(decision, self._findings)
        keys = CacheKeys(self._fetcher)
        present = {decision.job.name for decision in included}
        pipeline = Pipeline(
            stages=config.stages,
            jobs=tuple(lower_job(decision, keys, present) for decision in included),
            variables=layers.root,
            predefined=layers.predefined,
            name=_name(config, layers),
            on_new_commit=_auto_cancel(config, workflow, "on_new_commit") or "conservative",
            on_job_failure=_auto_cancel(config, workflow, "on_job_failure") or "none",
        )
        return self._result(config, decisions, workflow, Outcome.CREATED, pipeline)

    def _result(
        self,
        config: Config | None = None,
        decisions: Mapping[str, Decision] | None = None,
        workflow: Match | None = None,
        outcome: Outcome = Outcome.INVALID,
        pipeline: Pipeline | None = None,
    ) -> Compilation:
        found = decisions or {}
        refusals = run_refusals([d.job for d in found.values() if d.included], self._findings)
        return Compilation(
            pipeline=pipeline,
            diagnostics=self._findings.sorted(),
            outcome=outcome,
            refusals=refusals,
            sources=self._sources,
            config=config,
            decisions=found,
            workflow=workflow,
            included=tuple(self._includer.included),
            tree=self._tree,
            main_file=self._root,
        )


def _masked(context: Context) -> frozenset[str]:
    scoped = tuple(one.variable for one in context.scoped)
    return frozenset(v.key for v in (*context.project, *scoped, *context.given) if v.masked)


def _workflow_mark(config: Config) -> Mark | None:
    return config.workflow.value_at("rules") if config.workflow is not None else None


def _name(config: Config, layers: Layers) -> str | None:
    name = config.workflow.get("name") if config.workflow is not None else None
    if not isinstance(name, str):
        return None
    return expand(name, layers.pipeline().expanded()).strip() or None


def _auto_cancel(config: Config, workflow: Match | None, key: str) -> str | None:
    found: str | None = None
    rule = workflow.rule if workflow is not None else None
    for holder in (config.workflow, rule):
        value = holder.get("auto_cancel") if holder is not None else None
        word = value.get(key) if isinstance(value, Map) else None
        found = word if isinstance(word, str) else found
    return found
