"""``cache``: one or several, with a key of text or of files."""

from __future__ import annotations

import re

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Seq, Symbol

KEYS = ("key", "untracked", "paths", "when", "policy", "unprotect", "fallback_keys")
WHEN = ("on_success", "on_failure", "always")
POLICIES = ("pull-push", "push", "pull")
MAX_CACHES = 4
MAX_FALLBACK_KEYS = 5
MAX_KEY_FILES = 2
_VARIABLE = re.compile(r"\A\$\{?\w+\}?\Z|\A%\w+%\Z")


def caches(value: Node) -> list[Map]:
    """Return the caches of a checked ``cache``."""
    return [
        item for item in (value if isinstance(value, Seq) else [value]) if isinstance(item, Map)
    ]


def check_cache(entry: Entry) -> None:
    """Check ``cache``."""
    value = entry.value
    if not isinstance(value, (Map, Seq)):
        entry.error("can only be a hash or an array")
        return
    if isinstance(value, Map):
        _check_one(entry, value)
        return
    if len(value) > MAX_CACHES:
        entry.error(f"no more than {MAX_CACHES} caches can be created")
        return
    for index, item in enumerate(value):
        one = Entry(entry.findings, entry.path, item, value.item_at(index))
        if isinstance(item, Map):
            _check_one(one, item)
        else:
            one.error("should be a hash")


def _check_one(entry: Entry, value: Map) -> None:
    if not entry.known_keys(KEYS):
        return
    if value.get("key") is not None:
        _check_key(entry.child("key"))
    for key in ("untracked", "unprotect"):
        child = entry.child(key)
        if child.value is not None and not isinstance(child.value, bool):
            child.error("should be a boolean value")
    if value.get("paths") is not None:
        values.own_string_list(entry.child("paths"))
    values.one_of(entry, "when", WHEN)
    policy = value.get("policy")
    if policy is not None and not (
        isinstance(policy, str) and (policy in POLICIES or _VARIABLE.match(policy))
    ):
        entry.error(
            f"should be a variable or one of: {', '.join(POLICIES)}",
            attribute="policy",
            mark=value.value_at("policy"),
        )
    values.string_list(entry, "fallback_keys")
    keys = value.get("fallback_keys")
    if isinstance(keys, Seq) and len(keys) > MAX_FALLBACK_KEYS:
        entry.error(
            f"has too many entries (maximum {MAX_FALLBACK_KEYS})",
            attribute="fallback keys",
            mark=value.value_at("fallback_keys"),
        )


def _check_key(entry: Entry) -> None:
    value = entry.value
    if isinstance(value, (str, Symbol)):
        _check_key_text(entry, value)
    elif not isinstance(value, Map):
        entry.error(
            "should be a hash, a string or a symbol", attribute="", hint=values.quote(value)
        )
    elif entry.known_keys(("files", "files_commits", "prefix")):
        if ("files" in value) == ("files_commits" in value):
            entry.error("must use exactly one of these keys: files, files_commits")
            return
        for key in ("files", "files_commits"):
            if key in value:
                _check_files(entry.child(key))
        prefix = value.get("prefix")
        if prefix is not None:
            child = entry.child("prefix")
            if isinstance(prefix, str):
                _check_key_text(child, prefix)
            else:
                child.error("should be a string or symbol")


def _check_key_text(entry: Entry, text: str) -> None:
    plain = text.replace("%2F", "/").replace("%2f", "/").replace("%2E", ".").replace("%2e", ".")
    if "/" in plain:
        entry.error('cannot contain the "/" character')
    elif plain and not plain.strip("."):
        entry.error('cannot be "." or ".."')


def _check_files(entry: Entry) -> None:
    if not values.is_string_list(entry.value):
        entry.error("should be an array of strings")
    elif isinstance(entry.value, Seq) and not entry.value:
        entry.error("requires at least 1 item")
    elif isinstance(entry.value, Seq) and len(entry.value) > MAX_KEY_FILES:
        entry.error(f"has too many items (maximum is {MAX_KEY_FILES})")
