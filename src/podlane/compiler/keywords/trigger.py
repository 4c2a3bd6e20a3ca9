"""``trigger``: a pipeline of another project, or a child pipeline."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Seq

STRATEGIES = ("depend", "mirror")
MAX_INCLUDES = 3
_PROJECT_KEYS = ("project", "branch", "strategy", "forward", "inputs")
_CHILD_KEYS = ("include", "strategy", "forward", "inputs")
_FORWARD_KEYS = ("yaml_variables", "pipeline_variables")
_INCLUDE_KEYS = (
    "local", "file", "remote", "template", "artifact", "job", "project", "ref", "component", "inputs",
    "rules", "integrity",
)  # fmt: skip


def check_trigger(entry: Entry) -> None:
    """Check ``trigger``."""
    value = entry.value
    if isinstance(value, str):
        if not value.strip():
            entry.error("can't be blank")
        return
    if not isinstance(value, Map):
        entry.error("has to be either a string or a hash", attribute="")
        return
    if not entry.known_keys(_CHILD_KEYS if "include" in value else _PROJECT_KEYS):
        return
    strategy = value.get("strategy")
    if strategy is not None and strategy not in STRATEGIES:
        entry.error(
            "should be depend or mirror", attribute="strategy", mark=value.value_at("strategy")
        )
    if "include" in value:
        _check_include(entry.child("include"))
    else:
        if not value.get("project"):
            entry.error("can't be blank", attribute="project")
        values.string(entry, "project")
        values.string(entry, "branch")
    if value.get("forward") is not None:
        _check_forward(entry.child("forward"))


def _check_include(entry: Entry) -> None:
    value = entry.value
    if isinstance(value, Seq) and len(value) > MAX_INCLUDES:
        entry.error(f"is too long (maximum is {MAX_INCLUDES})")
        return
    for item in value if isinstance(value, Seq) else [value]:
        if isinstance(item, str):
            continue
        one = Entry(
            entry.findings, entry.path, item, item.at if isinstance(item, Map) else entry.mark
        )
        if not isinstance(item, Map):
            one.error("should be a hash or a string")
        elif one.known_keys(_INCLUDE_KEYS):
            if item.get("artifact") is not None and item.get("job") is None:
                one.error("must specify the job where to fetch the artifact from")
            if item.get("project") is not None and item.get("file") is None:
                one.error("must specify the file where to fetch the config from")


def _check_forward(entry: Entry) -> None:
    if not isinstance(entry.value, Map):
        entry.error("should be a hash")
    elif entry.known_keys(_FORWARD_KEYS):
        for key in _FORWARD_KEYS:
            values.boolean(entry, key)
