"""``cache``: one or several, with a key of text or of files."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Reference, Seq, flatten

KEYS = ("key", "untracked", "paths", "when", "policy", "unprotect", "fallback_keys")
WHEN = ("on_success", "on_failure", "always")
POLICIES = ("pull-push", "push", "pull")
MAX_CACHES = 4
MAX_FALLBACK_KEYS = 5
MAX_KEY_FILES = 2
_POLICY = re.compile(r"push|pull|\$")  # anywhere, as in GitLab


def caches(value: Node) -> list[Map]:
    """Return the caches of a checked ``cache``."""
    flat = flatten(value, values.MAX_DEPTH) if isinstance(value, Seq) else [value]
    return [item for item in flat or () if isinstance(item, Map)]


def check_cache(entry: Entry) -> None:
    """Check ``cache``."""
    value = entry.value
    whole = Entry(entry.findings, (*entry.path[:-1], "caches"), value, entry.mark)
    if not isinstance(value, (Map, Seq)):
        whole.error("can only be a hash or an array")
        return
    if isinstance(value, Seq) and len(value) > MAX_CACHES:
        whole.error(f"no more than {MAX_CACHES} caches can be created")
        return
    for one in values.items(entry, entry.path):
        _check_one(one)


def _check_one(entry: Entry) -> None:
    entry.is_hash()
    entry.known_keys(KEYS)
    values.one_of(entry, "when", WHEN)
    _check_policy(entry)
    fallback = entry.child("fallback_keys")
    if fallback.value is not None and values.length(fallback.value) > MAX_FALLBACK_KEYS:
        entry.error(  # the word is GitLab's
            f"has to many entries (maximum {MAX_FALLBACK_KEYS})",
            attribute="fallback keys",
            mark=fallback.mark,
        )
    for key in ("paths", "fallback_keys"):
        if not entry.absent(key):
            values.own_string_list(entry.child(key))
    for key in ("untracked", "unprotect"):
        if not entry.absent(key):
            values.own_boolean(entry.child(key))
    if not entry.absent("key"):
        _check_key(entry.child("key"))


def _check_policy(entry: Entry) -> None:
    child = entry.child("policy")
    value = child.value
    if values.is_blank(value) or isinstance(value, Reference):
        return
    values.string(entry, "policy")
    if not _POLICY.search(values.inspected(value)):
        entry.error(
            f"should be a variable or one of: {', '.join(POLICIES)}",
            attribute="policy",
            mark=child.mark,
        )


def _check_key(entry: Entry) -> None:
    value = entry.value
    if isinstance(value, str):
        _check_key_text(entry, value)
    elif not isinstance(value, Map):
        entry.error(
            "should be a hash, a string or a symbol", attribute="", hint=values.quote(value)
        )
    else:
        entry.known_keys(("files", "files_commits", "prefix"))
        values.exactly_one(entry, ("files", "files_commits"))
        for key in ("files", "files_commits"):
            if not entry.absent(key):
                _check_files(entry.child(key))
        prefix = entry.child("prefix")
        if isinstance(prefix.value, str):
            _check_key_text(prefix, prefix.value)
        elif prefix.value is not None:
            prefix.error("should be a string or symbol", hint=values.quote(prefix.value))


def _check_key_text(entry: Entry, text: str) -> None:
    plain = unquote_plus(text)
    if "/" in plain:
        entry.error('cannot contain the "/" character')
    elif plain in (".", ".."):
        entry.error('cannot be "." or ".."')


def _check_files(entry: Entry) -> None:
    values.own_string_list(entry)
    length = values.length(entry.value)
    if length == 0:
        entry.error("requires at least 1 item")
    elif length > MAX_KEY_FILES:
        entry.error(f"has too many items (maximum is {MAX_KEY_FILES})")
