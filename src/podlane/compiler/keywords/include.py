"""What GitLab checks of an entry of ``include``, and what it passes over."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace

from podlane.compiler import durations
from podlane.compiler.findings import Entry, Findings
from podlane.compiler.keywords import rules
from podlane.compiler.source import Map, Seq, is_blank, text_of

KINDS = ("local", "project", "remote", "template", "artifact", "component")
MIN_CACHE_SECONDS = 60
HEADER_KINDS = ("local", "remote", "project")
_HEADER_KEYS = (*HEADER_KINDS, "file", "ref", "integrity", "cache")
_KEYS = (*KINDS, "file", "ref", "job", "inputs", "rules", "integrity", "cache")


def warn_ignored(entry: Entry) -> None:
    """Tell what GitLab does not even look at once it has a file to include."""
    value = entry.value
    assert isinstance(value, Map)
    ignored = [key for key in value if key not in _KEYS]
    if value.get("remote") is None:
        ignored += [key for key in ("integrity", "cache") if value.get(key) is not None]
    if value.get("project") is not None and not value.get("file"):
        ignored.append("project")
    for key in ignored:
        entry.findings.warning(
            "include", f"include: `{text_of(key)}` has no effect here", value.key_at(key),
            "it needs `file` too" if key == "project" else "GitLab ignores it silently",
        )  # fmt: skip


def check_include_rules(entry: Entry) -> bool:
    """Check the rules of an entry, as GitLab does before all else; return whether they are sound."""
    return _is_sound(entry, _check_rules)


def _check_rules(entry: Entry) -> None:
    if is_blank(entry.value):
        entry.error("can't be blank", hint="remove the keyword, or add a rule")
    elif not isinstance(entry.value, Seq):
        entry.error("should be an array")
    else:
        rules.check_rules(replace(entry, path=("include",)), rules.INCLUDE)


def _is_sound(entry: Entry, check: Callable[[Entry], None]) -> bool:
    """Run a check; return whether it finds nothing, even if all that it finds was told before."""
    found = Findings(entry.findings.file)
    check(replace(entry, findings=found))
    entry.findings.take(found)
    return not found.found


def check_left(entry: Entry) -> None:
    """Check an ``include`` that brought no file: GitLab looks at its form only then."""
    if entry.value is not None:
        _check_form(entry, _KEYS)


def check_header_include(entry: Entry) -> None:
    """Check ``spec:include``."""
    if entry.value is not None:
        _check_form(entry, _HEADER_KEYS)


def _check_form(entry: Entry, keys: tuple[str, ...]) -> None:
    value = entry.value
    if not isinstance(value, (Seq, str)):
        entry.error("should be an array or a string", hint="write it as a list: - local: …")
    for index, item in enumerate(value if isinstance(value, Seq) else ()):
        if not isinstance(item, Map) or not isinstance(value, Seq):
            continue
        one = Entry(entry.findings, (*entry.path, "include"), item, value.item_at(index))
        one.known_keys(keys)
        for kind, key, what in (("project", "file", "config"), ("artifact", "job", "artifact")):
            if item.get(kind) and not item.get(key):
                one.error(f"must specify the {key} where to fetch the {what} from")
        check_remote(one)


def check_remote(entry: Entry) -> bool:
    """Check ``integrity`` and ``cache``; return whether they are sound."""
    return _is_sound(entry, _check_remote)


def _check_remote(entry: Entry) -> None:
    value = entry.value
    assert isinstance(value, Map)
    _check_integrity(entry, value)
    _check_cache(entry, value)


def _check_integrity(entry: Entry, value: Map) -> None:
    integrity = value.get("integrity")
    if integrity is None:
        return
    mark = value.value_at("integrity")
    if value.get("remote") is None:
        entry.error("integrity can only be specified for remote includes", mark=mark)
    if not isinstance(integrity, str) or not integrity.startswith("sha256-"):
        entry.error("integrity hash must start with 'sha256-'", mark=mark)
        return
    try:
        base64.b64decode(integrity.removeprefix("sha256-"), validate=True)
    except binascii.Error:
        entry.error("integrity hash must be base64 encoded", mark=mark)


def _check_cache(entry: Entry, value: Map) -> None:
    cache, mark = value.get("cache"), value.value_at("cache")
    if not cache:
        return
    if value.get("remote") is None:
        entry.error("cache can only be specified for remote includes", mark=mark)
    if cache is True:
        return
    if not isinstance(cache, str):
        entry.error("cache must be a boolean or a duration string", mark=mark)
        return
    length = durations.seconds(cache)
    if length is None:
        entry.error("cache contains an invalid duration", mark=mark)
    elif length < MIN_CACHE_SECONDS:
        entry.error("cache duration must be at least 1 minute", mark=mark)
