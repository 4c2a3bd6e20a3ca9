"""``needs`` and ``dependencies``: which jobs a job waits for, and whose artifacts it takes."""

from __future__ import annotations

from collections.abc import Container, Sequence

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.keywords.parallel import check_parallel
from podlane.compiler.source import Map, Node, Seq, flatten
from podlane.model.pipeline import Need, PipelineNeed

_JOB_KEYS = ("job", "artifacts", "optional", "parallel")
_PIPELINE_KEYS = ("pipeline", "job", "artifacts")
_PROJECT_KEYS = ("project", "job", "ref", "artifacts")
MAX_CROSS_NEEDS = 5
MAX_DEPTH = 100


def check_needs(entry: Entry, kinds: Container[str] = ("job",)) -> None:
    """Check ``needs``; ``kinds`` of entries that fit: ``job``, ``cross_dependency``, ``bridge``."""
    value = entry.value
    if not isinstance(value, (Map, Seq)):
        entry.error("can only be a hash or an array", hint="write it as a list of job names")
        return
    if isinstance(value, Map) and not value:
        entry.error("can not be an empty hash")
        return
    if any(_has_number(item) for item in (value if isinstance(value, Seq) else [value])):
        entry.error('cannot use "parallel: <number>".', hint="needs take parallel:matrix")
        return
    found: dict[str, list[Entry]] = {}
    for one in values.items(entry, (*entry.path, "need")):
        found.setdefault(_check_need(one), []).append(one)
    others = [kind for kind in found if kind and kind not in kinds]
    if others:
        entry.error(f"uses invalid types: {', '.join(others)}", mark=found[others[0]][0].mark)
    for key in ("pipeline", "project"):
        crossing = [one for one in found.get("cross_dependency", ()) if not one.absent(key)]
        if len(crossing) > MAX_CROSS_NEEDS:
            entry.error(f"must be less than or equal to {MAX_CROSS_NEEDS}", mark=crossing[-1].mark)


def _has_number(item: Node) -> bool:
    parallel = item.get("parallel") if isinstance(item, Map) else None
    return isinstance(parallel, (int, float)) and not isinstance(parallel, bool)


def _check_need(entry: Entry) -> str:
    """Check one entry and return its kind; no kind for what is none."""
    item = entry.value
    if values.is_string(item):
        if values.is_blank(item):
            entry.error("can't be blank")
        return "job"
    if not isinstance(item, Map):
        entry.error(
            "has an unsupported type", attribute="", hint="a job's name, or a map with `job:`"
        )
        return ""
    kind, keys, required = _shape(item)
    if not item:
        entry.error("can't be blank")
    entry.known_keys(keys)
    for key in required:
        values.required_string(entry, key)
    if "artifacts" in keys:
        values.boolean(entry, "artifacts")
    if "optional" in keys:
        values.boolean(entry, "optional")
    if "parallel" in keys and not entry.absent("parallel"):
        check_parallel(entry.child("parallel"), bridge=False)
    _refuse(entry, item, kind)
    return kind


def _refuse(entry: Entry, item: Map, kind: str) -> None:
    if kind == "cross_dependency" and "project" in item:
        entry.refuse("jobs of other projects cannot be reached without a GitLab server")
    elif kind == "bridge":
        entry.refuse("pipelines of other projects cannot be followed without a GitLab server")


def _shape(item: Map) -> tuple[str, Sequence[str], Sequence[str]]:
    """Return the kind of an entry, the keys it may have and those it must have."""
    if "job" not in item and "project" not in item:
        return "bridge", ("pipeline",), ("pipeline",)
    if "pipeline" in item and "project" not in item:
        return "cross_dependency", _PIPELINE_KEYS, ("pipeline", "job")
    if "project" in item or "ref" in item:
        return "cross_dependency", _PROJECT_KEYS, ("project", "ref", "job")
    return "job", _JOB_KEYS, ("job",)


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


def lower_pipeline_needs(value: Node) -> tuple[PipelineNeed, ...]:
    """Return the entries of a checked ``needs`` that are jobs of other pipelines."""
    if value is None:
        return ()
    return tuple(
        PipelineNeed(
            pipeline=str(item["pipeline"]),
            job=str(item["job"]),
            artifacts=item.get("artifacts") is not False,
            optional=item.get("optional") is True,
        )
        for item in flattened(value)
        if isinstance(item, Map)
        and item.get("pipeline") is not None
        and item.get("job") is not None
    )
