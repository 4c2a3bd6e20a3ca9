"""``run`` (steps), ``hooks``, ``dast_configuration``."""

from __future__ import annotations

import sys

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import schema, script, values
from podlane.compiler.keywords.schema import Schema

_WORD = "^[a-zA-Z_][a-zA-Z0-9_]*$"
_TEXT = Schema(types=("string",))


def _mapping(*required: str, optional: tuple[str, ...] = ()) -> Schema:
    fields = dict.fromkeys((*required, *optional), _TEXT)
    return Schema(types=("object",), closed=True, required=required, fields=fields)


def _within(key: str, inner: Schema) -> Schema:
    return Schema(types=("object",), closed=True, required=(key,), fields={key: inner})


_NAME = Schema(types=("string",), pattern=_WORD)
_ENVIRONMENT = Schema(types=("object",), closed=True, names=_WORD, named=_TEXT)
_INPUTS = Schema(types=("object",), closed=True, names=_WORD, named=Schema())
_FUNCTION = Schema(
    one_of=(
        _TEXT,
        _within("git", _mapping("url", "rev", optional=("dir", "file"))),
        _within("oci", _mapping("registry", "repository", "tag", optional=("dir", "file"))),
    )
)
_CALL = Schema(
    types=("object",),
    closed=True,
    required=("name",),
    one_of=(Schema(required=("step",), without="func"), Schema(required=("func",), without="step")),
    fields={
        "name": _NAME,
        "env": _ENVIRONMENT,
        "inputs": _INPUTS,
        "step": _FUNCTION,
        "func": _FUNCTION,
    },
)
_SCRIPT = Schema(
    types=("object",),
    closed=True,
    required=("name", "script"),
    fields={
        "name": _NAME,
        "env": _ENVIRONMENT,
        "script": Schema(types=("string",), lengths=(1, sys.maxsize)),
    },
)
_STEPS = Schema(types=("array",), items=Schema(one_of=(_CALL, _SCRIPT)))


def check_run(entry: Entry) -> None:
    """Check ``run``; the entry is the job."""
    schema.check(entry, "run", _STEPS, entry.child("run").value, "see GitLab's page on steps")


def check_hooks(entry: Entry) -> None:
    """Check ``hooks``."""
    entry.is_hash()
    entry.known_keys(("pre_get_sources_script",))
    if not entry.absent("pre_get_sources_script"):
        script.check_commands(entry.child("pre_get_sources_script"))


def check_dast(entry: Entry) -> None:
    """Check ``dast_configuration``."""
    entry.is_hash()
    entry.known_keys(("site_profile", "scanner_profile"))
    for key in ("site_profile", "scanner_profile"):
        values.string(entry, key)
