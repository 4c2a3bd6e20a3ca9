"""``trigger``: a pipeline of another project, or a child pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterable

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import rules, values
from podlane.compiler.keywords.include import check_remote
from podlane.compiler.keywords.inputs import json_of
from podlane.compiler.source import Map, Mark, Node, Seq, place
from podlane.model.job import Variable
from podlane.model.pipeline import Trigger

STRATEGIES = ("depend", "mirror")
MAX_INCLUDES = 3
_PROJECT_KEYS = ("project", "branch", "strategy", "forward", "inputs")
_CHILD_KEYS = ("strategy", "include", "forward")
_FORWARD_KEYS = ("yaml_variables", "pipeline_variables")
_INCLUDE_KEYS = (
    "local", "file", "remote", "template", "artifact", "job", "project", "ref", "component", "inputs",
    "rules", "integrity", "cache",
)  # fmt: skip
_HINT = "name the jobs to run, or leave this one out with --allow-unsupported"
_OTHER_PROJECT = "a pipeline of another project cannot be started without a GitLab server"


def check_trigger(entry: Entry) -> None:
    """Check ``trigger``."""
    value = entry.value
    if isinstance(value, Map):
        _check_map(entry, value)
    elif not values.is_string(value):
        entry.error("has to be either a string or a hash", attribute="")
    elif values.is_blank(value):
        entry.error("can't be blank")
    else:
        entry.refuse(_OTHER_PROJECT, _HINT)


def _check_map(entry: Entry, value: Map) -> None:
    if not value:
        entry.error("can't be blank")
    entry.known_keys(_CHILD_KEYS if "include" in value else _PROJECT_KEYS)
    values.one_of(entry, "strategy", STRATEGIES, "should be depend or mirror")
    if "include" not in value:
        values.hash_value(entry, "inputs")
        values.required_string(entry, "project")
        values.string(entry, "branch")
        entry.refuse(_OTHER_PROJECT, _HINT)
    elif not entry.absent("include"):
        _check_include(entry.child("include"))
    if not entry.absent("forward"):
        forward = entry.child("forward")
        forward.known_keys(_FORWARD_KEYS)
        for key in _FORWARD_KEYS:
            values.boolean(forward, key)


def _check_include(entry: Entry) -> None:
    value = entry.value
    if not isinstance(value, (str, Seq)):
        entry.error("should be an array or a string", hint="write it as a list")
        return
    if isinstance(value, Seq) and len(value) > MAX_INCLUDES:
        entry.error(f"is too long (maximum is {MAX_INCLUDES})")
    for one in values.items(entry, (*entry.path, "include")):
        item = one.value
        if not isinstance(item, Map):
            if not values.is_string(item):
                one.error("should be a hash or a string")
            continue
        one.known_keys(_INCLUDE_KEYS)
        for kind, key, what in (("project", "file", "config"), ("artifact", "job", "artifact")):
            if item.get(kind) not in (None, False) and values.is_blank(item.get(key)):
                one.error(f"must specify the {key} where to fetch the {what} from")
        check_remote(one)
        if not one.absent("rules"):
            _check_rules(one, one.child("rules"))


def _check_rules(entry: Entry, listed: Entry) -> None:
    value = listed.value
    if isinstance(value, Seq) and all(isinstance(item, Map) for item in value):
        rules.check_rules(listed, rules.INCLUDE)
    else:
        entry.error("should be an array of hashes", attribute="rules", mark=listed.mark)


def lower_trigger(value: Node, variables: tuple[Variable, ...], at: Mark | None) -> Trigger | None:
    """Return a checked ``trigger`` as the model's; None where it is no child pipeline's."""
    if not isinstance(value, Map) or value.get("include") is None:
        return None
    written = value["include"]
    entries = list(written) if isinstance(written, Seq) else [written]
    forward = value.get("forward")
    forwarded = forward if isinstance(forward, Map) else Map()
    strategy = value.get("strategy")
    return Trigger(
        content=json.dumps({"include": json_of(written)}, default=str),
        strategy=strategy if isinstance(strategy, str) else "",
        forward_yaml_variables=forwarded.get("yaml_variables") is not False,
        forward_pipeline_variables=forwarded.get("pipeline_variables") is True,
        variables=variables,
        files=tuple(_names(entries)),
        artifact_jobs=tuple(_makers(entries)),
        place=str(place(value.value_at("include") or at)),
    )


def _names(entries: Iterable[Node]) -> Iterable[str]:
    """Yield how people know the included files."""
    for item in entries:
        entry = item if isinstance(item, Map) else Map()
        keys = ("artifact", "local", "remote", "template", "component", "project")
        found = item if isinstance(item, str) else next((entry[k] for k in keys if k in entry), "")
        yield " ".join([str(found), *values.strings(entry.get("file"))])


def _makers(entries: Iterable[Node]) -> Iterable[str]:
    for item in entries:
        maker = item.get("job") if isinstance(item, Map) else None
        if isinstance(maker, str):
            yield maker
