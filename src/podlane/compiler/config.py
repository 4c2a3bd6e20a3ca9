"""The whole configuration: which top-level keys are keywords and which are jobs; defaults applied."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.compiler.findings import Entry, Findings
from podlane.compiler.keywords import image, script, stages, table, variables
from podlane.compiler.keywords import job as job_keywords
from podlane.compiler.source import Map, Node, Scalar, place, text_of

RESERVED = (
    "image", "services", "stages", "before_script", "after_script", "variables", "cache", "include",
)  # fmt: skip
_GLOBAL_DEFAULTS = ("image", "services", "before_script", "after_script", "cache")
_JOB_SIGNS = ("script", "run", "trigger", "needs")


@dataclass(frozen=True, slots=True)
class Config:
    """A checked configuration. ``jobs`` are visible jobs with their defaults applied, in order."""

    root: Map
    stages: tuple[str, ...]
    variables: Node
    jobs: dict[str, Map]


def configure(root: Map, findings: Findings) -> Config:
    """Check every keyword of the merged configuration and apply the defaults to the jobs."""
    _check_globals(root, findings)
    visible = _visible(root)
    if not visible:
        findings.error(
            "config", "jobs config should contain at least one visible job", root.at,
            "add a job: a name with a script",
        )  # fmt: skip
    defaults = _defaults(root, findings)
    jobs: dict[str, Map] = {}
    for key in visible:
        value, name = root[key], text_of(key)
        entry = Entry(findings, ("jobs", name), value, root.key_at(key))
        if not isinstance(key, str):
            entry.error("should be a symbol", attribute="name", hint="quote the name")
        job_keywords.check_job(entry)
        if isinstance(value, Map):
            jobs[name] = _with_defaults(value, defaults)
    return Config(root, stages.lower_stages(_sound_stages(root)), root.get("variables"), jobs)


def _sound_stages(root: Map) -> Node:
    value = root.get("stages")
    return None if isinstance(value, Map) else value


def _check_globals(root: Map, findings: Findings) -> None:
    whole = Entry(findings, (), root, root.at)
    for key, reason in table.refused("global").items():
        if key in root and root[key] is not None and not _is_job(root[key]):
            findings.refuse(key, reason, root.key_at(key))
    checks = {
        "image": image.check_image,
        "services": image.check_services,
        "before_script": script.check_commands,
        "after_script": script.check_commands,
        "stages": stages.check_stages,
        "variables": variables.check_global_variables,
    }
    for key, check in checks.items():
        if root.get(key) is not None:
            check(whole.child(key))


def _is_job(value: Node) -> bool:
    # GitLab: ``default`` and ``workflow`` with a job's keys are jobs.
    return isinstance(value, Map) and any(sign in value for sign in _JOB_SIGNS)


def _visible(root: Map) -> list[Scalar]:
    found: list[Scalar] = []
    for key, value in root.items():
        if key in RESERVED or (isinstance(key, str) and key.startswith(".")):
            continue
        if key in ("default", "workflow") and not _is_job(value):
            continue
        found.append(key)
    return found


def _defaults(root: Map, findings: Findings) -> Map:
    value = root.get("default")
    found = Map()
    if isinstance(value, Map) and not _is_job(value):
        entry = Entry(findings, ("default",), value, root.key_at("default"))
        entry.known_keys(job_keywords.DEFAULT_KEYS)
        job_keywords.check_keywords(entry, value, table.refused("job"))
        found = value.copied()
    elif value is not None and not isinstance(value, Map):
        Entry(findings, ("default",), value, root.value_at("default")).error("should be a hash")
    for key in _GLOBAL_DEFAULTS:
        if root.get(key) is None:
            continue
        if found.get(key) is not None:
            findings.error(
                "config", f"{key} is defined in top-level and `default:` entry", root.key_at(key),
                f"remove one of the two; the other is at {place(found.key_at(key))}",
            )  # fmt: skip
        found.put(key, root[key], root.marks[key])
    return found


def _with_defaults(job: Map, defaults: Map) -> Map:
    if job_keywords.is_bridge(job):
        return job
    missing = [
        key for key, value in defaults.items()
        if value is not None and job.get(key) is None and key != "timeout"
    ]  # fmt: skip
    if not missing:
        return job
    new = job.copied()
    for key in missing:
        new.put(key, defaults[key], defaults.marks[key])
    return new
