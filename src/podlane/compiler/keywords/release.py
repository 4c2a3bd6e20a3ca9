"""``release``: GitLab makes one of it, by a tag, a description and links."""

from __future__ import annotations

import re
from datetime import date, timedelta

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Reference, Seq

_RELEASE_KEYS = (
    "tag_name", "tag_message", "name", "description", "ref", "released_at", "milestones", "assets",
)  # fmt: skip
_REF_BYTES = re.compile(r"[\x00-\x1f\x7f ~^:?*\[\\]")
_ZONE = r"(?:Z|[+-]\d\d(?::?\d\d)?)?"
_STAMP = re.compile(
    r"[+-]?(?P<year>\d{4})(?:"
    r"-?W(?P<week>\d\d)-?(?P<weekday>\d)"
    r"|-?(?P<day_of_year>\d{3})"
    r"|-(?P<month>\d\d)(?:-(?P<day>\d\d))?"
    r"|(?P<short_month>\d\d)(?P<short_day>\d\d)"
    r")?"
    r"(?:T(?:(?:[01]\d|2[0-4]):?[0-5]\d(?::?(?:[0-5]\d|60)(?:[.,]\d+)?)?)" + _ZONE + r")?\Z"
    r"|(?:[01]\d|2[0-4]):[0-5]\d(?::[0-5]\d)?" + _ZONE + r"\Z",
    re.IGNORECASE,
)


def check_release(entry: Entry) -> None:
    """Check ``release``."""
    entry.is_hash()
    entry.known_keys(_RELEASE_KEYS)
    for key in ("tag_name", "description"):
        values.required_string(entry, key)
    if not values.is_blank(entry.child("tag_message").value):
        values.string(entry, "tag_message")
    if not values.is_blank(entry.child("milestones").value):
        values.strings_or_string(entry, "milestones")
    _check_release_ref(entry)
    stamp = entry.child("released_at")
    if stamp.value not in (None, False) and not _is_datetime(stamp.value):
        entry.error(
            "must be a valid datetime",
            attribute="released at",
            mark=stamp.mark,
            hint='ISO 8601, quoted: "2026-01-31T10:00:00Z"',
        )
    if not entry.absent("assets"):
        _check_assets(entry.child("assets"))


def _check_release_ref(entry: Entry) -> None:
    ref = entry.child("ref")
    if ref.value is None or ref.value is False or isinstance(ref.value, Reference):
        return
    if not isinstance(ref.value, str) or not _is_ref(ref.value):
        entry.error("must be a valid ref", attribute="ref", mark=ref.mark)


def _is_ref(name: str) -> bool:
    """Whether git takes a name for a branch or a tag (git-check-ref-format)."""
    if not name or name == "HEAD" or name.startswith(("-", "refs/heads/", "refs/remotes/")):
        return False
    if name.endswith(("/", ".")) or _REF_BYTES.search(name):
        return False
    if any(part in name for part in ("..", "//", "@{")):
        return False
    return not any(p.startswith(".") or p.endswith(".lock") for p in name.split("/"))


def _is_datetime(value: Node) -> bool:
    """Whether Ruby's ``DateTime.iso8601`` reads a value (of a broken reference nobody can tell)."""
    if isinstance(value, Reference):
        return True
    match = _STAMP.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        return False
    year = int(match["year"] or 2000)
    try:
        if match["week"]:
            date.fromisocalendar(year, int(match["week"]), int(match["weekday"]))
        elif match["day_of_year"]:
            found = date(year, 1, 1) + timedelta(days=int(match["day_of_year"]) - 1)
            return found.year == year
        else:
            month, day = match["month"] or match["short_month"], match["day"] or match["short_day"]
            date(year, int(month or 1), int(day or 1))
    except ValueError:
        return False
    return True


def _check_assets(entry: Entry) -> None:
    entry.is_hash()
    entry.known_keys(("links",))
    links = entry.child("links")
    if isinstance(links.value, Reference):
        return
    listed = links.value if isinstance(links.value, Seq) else Seq()
    if not isinstance(links.value, Seq) or not all(isinstance(item, Map) for item in listed):
        entry.error("should be an array of hashes", attribute="links", mark=links.mark)
    values.present(entry, "links")
