"""``needs`` and ``dependencies``: which jobs a job waits for, and whose artifacts it takes."""

from __future__ import annotations

from collections.abc import Sequence

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Mark, Node, Seq, flatten
from podlane.model.pipeline import Need

_JOB_KEYS = ("job", "artifacts", "optional", "parallel")
_PIPELINE_KEYS = ("pipeline", "job", "artifacts")
_PROJECT_KEYS = ("project", "job", "ref", "artifacts")
MAX_CROSS_NEEDS = 5
MAX_DEPTH = 100


def check_needs(entry: Entry, *, rules: bool = False) -> None:
    """Check ``needs`` of a job, or of a rule (jobs of this pipeline only)."""
    value = entry.value
    if rules and not isinstance(value, Seq):
        entry.error("should be an array")
        return
    if isinstance(value, Map):
        _check_need(entry, value, entry.mark)
        return
    if not isinstance(value, Seq):
        entry.error("can only be a hash or an array", hint="write it as a list of job names")
        return
    listed = flattened(value)
    for index, item in enumerate(listed):
        _check_need(entry, item, listed.item_at(index))
    for key in ("pipeline", "project"):
        crossing = [item for item in listed if isinstance(item, Map) and key in item]
        if len(crossing) > MAX_CROSS_NEEDS:
            entry.error(f"must be less than or equal to {MAX_CROSS_NEEDS}", mark=crossing[-1].at)


def _check_need(parent: Entry, item: Node, mark: Mark | None) -> None:
    entry = Entry(parent.findings, (*parent.path, "need"), item, mark)
    if isinstance(item, str):
        if not item.strip():
            entry.error("can't be blank")
        return
    shape = _shape(item) if isinstance(item, Map) else None
    if shape is None or not isinstance(item, Map):
        entry.error(
            "has an unsupported type", attribute="", hint="a job's name, or a map with `job:`"
        )
        return
    keys, required = shape
    if entry.known_keys(keys):
        _check_fields(entry, item, required)
    if keys is not _JOB_KEYS:
        entry.refuse(
            "jobs of other pipelines and projects cannot be reached without a GitLab server"
        )


def _shape(item: Map) -> tuple[Sequence[str], Sequence[str]] | None:
    """Return the keys of a need and those it must have, by what it points at."""
    if "project" in item:
        return _PROJECT_KEYS, ("project", "job", "ref")
    if "pipeline" in item:
        return _PIPELINE_KEYS, ("pipeline",)
    return (_JOB_KEYS, ("job",)) if "job" in item and "ref" not in item else None


def _check_fields(entry: Entry, item: Map, required: Sequence[str]) -> None:
    for key in required:
        if item.get(key) is None or item.get(key) == "":
            entry.error("can't be blank", attribute=key)
    for key in ("job", "project", "ref", "pipeline"):
        values.string(entry, key)
    values.boolean(entry, "artifacts")
    values.boolean(entry, "optional")


def flattened(value: Node) -> Seq:
    """Return the needs one by one: GitLab flattens nested lists, as references make them."""
    if not isinstance(value, Seq):
        return Seq(None, [value])
    return flatten(value, MAX_DEPTH) or Seq(value.at)


def needed_names(value: Node) -> list[str]:
    """Return the names in a checked ``needs``, of this pipeline's jobs."""
    return [need.job for need in lower_needs(value) or ()]


def lower_needs(value: Node) -> tuple[Need, ...] | None:
    """Return a checked ``needs`` as the model's; None when the keyword is absent."""
    if value is None:
        return None
    found: list[Need] = []
    for item in flattened(value):
        if isinstance(item, str):
            found.append(Need(job=item))
        elif isinstance(item, Map) and not ("project" in item or "pipeline" in item):
            name = item.get("job")
            if not isinstance(name, str):
                continue
            found.append(
                Need(
                    job=name,
                    artifacts=item.get("artifacts") is not False,
                    optional=item.get("optional") is True,
                )
            )
    return tuple(found)


def check_dependencies(entry: Entry, key: str) -> None:
    """Check ``dependencies``."""
    values.string_list(entry, key)
