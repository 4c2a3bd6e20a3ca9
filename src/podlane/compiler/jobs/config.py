"""The whole configuration: which top-level keys are keywords and which are jobs; defaults applied."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.compiler.findings import Entry, Findings, did_you_mean
from podlane.compiler.keywords import (
    cache,
    image,
    inherit,
    rules,
    script,
    stages,
    values,
    variables,
    workflow,
)
from podlane.compiler.keywords import job as job_keywords
from podlane.compiler.source import Map, Mark, Node, Scalar, place, text_of

RESERVED = (
    "image", "services", "stages", "before_script", "after_script", "variables", "cache", "include",
)  # fmt: skip
_GLOBAL_DEFAULTS = ("image", "services", "before_script", "after_script", "cache")
_TWICE_PAGE = (
    "https://docs.gitlab.com/ee/ci/jobs/job_troubleshooting.html"
    "#job-may-allow-multiple-pipelines-to-run-for-a-single-action-warning"
)
_UNLIKELY_JOBS = (*RESERVED, "default", "workflow", "stages", "variables", "include")


@dataclass(frozen=True, slots=True)
class Config:
    """A checked configuration. ``jobs`` are visible jobs with their defaults applied, in order."""

    root: Map
    stages: tuple[str, ...]
    variables: Node
    workflow: Map | None
    jobs: dict[str, Map]

    @property
    def has_workflow_rules(self) -> bool:
        """Whether ``workflow:rules`` is there; it switches off the implicit ``only``."""
        return self.workflow is not None and "rules" in self.workflow


def configure(root: Map, findings: Findings) -> Config:
    """Check every keyword of the merged configuration and apply the defaults to the jobs."""
    _check_globals(root, findings)
    flow = root.get("workflow")
    found_workflow = flow if isinstance(flow, Map) and not job_keywords.is_job(flow) else None
    visible = _visible(root)
    if not any(_is_job(root[key]) for key in visible) and not findings.incomplete:
        findings.error(
            "config", "jobs config should contain at least one visible job", root.at,
            "add a job: a name with a script",
        )  # fmt: skip
    _check_hidden(root, findings)
    defaults = _defaults(root, findings)
    jobs: dict[str, Map] = {}
    for key in visible:
        value, name = root[key], text_of(key)
        is_job = isinstance(value, Map) and job_keywords.is_job(value)
        is_bridge = isinstance(value, Map) and job_keywords.is_bridge(value)
        # GitLab puts the kind of entry in place of a blank name.
        kind = "bridge" if is_bridge else "job" if is_job else ""
        entry = Entry(findings, ("jobs", name or kind), value, root.key_at(key))
        if name == "" and is_job:
            entry.error("can't be blank", attribute="name")
        if not isinstance(key, str) and is_job:
            entry.error("should be a symbol", attribute="name", hint="quote the name")
        before = len(findings.found)
        job_keywords.check_job(entry)
        if isinstance(value, Map) and job_keywords.is_job(value):
            jobs[name] = _with_defaults(value, defaults, root.key_at(key))
        elif len(findings.found) > before and isinstance(key, str):
            _hint_at_keyword(findings, key)
        _warn(entry, has_workflow_rules=found_workflow is not None and "rules" in found_workflow)
    listed = root.get("stages")
    return Config(
        root=root,
        stages=stages.lower_stages(None if isinstance(listed, Map) else listed),
        variables=root.get("variables"),
        workflow=found_workflow,
        jobs=jobs,
    )


def _check_hidden(root: Map, findings: Findings) -> None:
    for key, value in root.items():
        if isinstance(key, str) and key.startswith(".") and values.is_blank(value):
            Entry(findings, ("jobs", key), value, root.key_at(key)).error(
                "can't be blank", hint="even a template needs a value"
            )


def _hint_at_keyword(findings: Findings, key: str) -> None:
    near = did_you_mean(key, _UNLIKELY_JOBS)
    if near and key not in _UNLIKELY_JOBS:
        findings.replace_last_hint(near)


def _warn(entry: Entry, *, has_workflow_rules: bool) -> None:
    job = entry.value
    listed = rules.listed_rules(job.get("rules")) if isinstance(job, Map) else []
    if has_workflow_rules or not listed:
        return
    last = listed[-1]
    written = [key for key, value in last.items() if value is not None]
    if written == ["when"] and last["when"] != "never" and last["when"] in rules.JOB.when:
        entry.findings.warning(
            "rules",
            f"jobs:{entry.path[-1]} may allow multiple pipelines to run for a single action due to "
            f"`rules:when` clause with no `workflow:rules` - read more: {_TWICE_PAGE}",
            last.at,
            "add workflow:rules, or an if to the rule",
        )


def _check_globals(root: Map, findings: Findings) -> None:
    whole = Entry(findings, (), root, root.at)
    checks = {
        "image": image.check_image,
        "services": image.check_services,
        "before_script": script.check_commands,
        "after_script": script.check_commands,
        "cache": cache.check_cache,
        "stages": stages.check_stages,
        "variables": variables.check_global_variables,
    }
    for key, check in checks.items():
        if root.get(key) is not None:
            check(whole.child(key))
    if root.get("workflow") is not None and not job_keywords.is_job(root["workflow"]):
        workflow.check_workflow(whole.child("workflow"))


def _is_job(value: Node) -> bool:
    return isinstance(value, Map) and job_keywords.is_job(value)


def _visible(root: Map) -> list[Scalar]:
    found: list[Scalar] = []
    for key, value in root.items():
        if key in RESERVED or (isinstance(key, str) and key.startswith(".")):
            continue
        # GitLab: ``default`` and ``workflow`` with a job's keys are jobs.
        if key in ("default", "workflow") and not job_keywords.is_job(value):
            continue
        found.append(key)
    return found


def _defaults(root: Map, findings: Findings) -> Map:
    value = root.get("default")
    found = Map()
    if isinstance(value, Map) and not job_keywords.is_job(value):
        entry = Entry(findings, ("default",), value, root.key_at("default"))
        entry.known_keys(job_keywords.DEFAULT_KEYS)
        job_keywords.check_keywords(entry, value, job_keywords.DEFAULT_KEYS)
        if value.get("timeout") is not None:
            findings.warning(
                "default",
                "default:timeout has no effect: GitLab reads the timeout of the job itself",
                value.key_at("timeout"),
                "set timeout in the jobs",
            )
        found = value.copied()
    elif value is not None and not isinstance(value, Map):
        Entry(findings, ("default",), value, root.value_at("default")).error("should be a hash")
    for key in _GLOBAL_DEFAULTS:
        if root.get(key) is None:
            continue
        if found.get(key) is not None:
            findings.error(
                "config",
                f"{key} is defined in top-level and `default:` entry",
                root.key_at(key),
                f"remove one of the two; the other is at {place(found.key_at(key))}",
            )
        found.put(key, root[key], root.marks[key])
    return found


def _with_defaults(job: Map, defaults: Map, named_at: Mark | None) -> Map:
    """Return a job of its own. What it does not say is shown at its name, ``named_at``."""
    bridge = job_keywords.is_bridge(job)
    missing = [
        key
        for key, value in defaults.items()
        if value is not None
        and job.get(key) is None
        and key != "timeout"
        and (not bridge or key == "interruptible")
        and inherit.inherits(job, "default", str(key))
    ]
    new = job.copied()  # aliases share one
    new.at = named_at
    for key in missing:
        new.put(key, defaults[key], defaults.marks[key])
    return new
