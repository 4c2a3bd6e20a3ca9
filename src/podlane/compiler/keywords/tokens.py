"""``id_tokens`` and ``identity``: credentials that GitLab gives to a job."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, text_of
from podlane.model.pipeline import IdToken


def check_id_tokens(entry: Entry) -> None:
    """Check ``id_tokens``: names with an audience each."""
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash")
        return
    for key in value:
        token = entry.child(text_of(key))
        if not isinstance(token.value, Map) or "aud" not in token.value:
            token.error("missing required keys: aud", hint="write aud: an address")
        token.known_keys(("aud",))
        audience = token.child("aud")
        if not values.is_strings_or_string(audience.value):
            token.error(
                "should be an array of strings or a string", attribute="aud", mark=audience.mark
            )


def lower_id_tokens(value: Node) -> dict[str, IdToken]:
    """Return checked ``id_tokens`` as the model's."""
    found: dict[str, IdToken] = {}
    for key, item in value.items() if isinstance(value, Map) else ():
        audience = item.get("aud") if isinstance(item, Map) else None
        if isinstance(audience, str):
            found[text_of(key)] = IdToken(aud=audience)
        elif audience is not None:
            found[text_of(key)] = IdToken(aud=tuple(values.strings(audience)))
    return found


def check_identity(entry: Entry) -> None:
    """Check ``identity``."""
    if not values.is_string(entry.value):
        entry.error("should be a string", hint=values.quote(entry.value))
    if not values.is_among(entry.value, ("google_cloud",)):
        entry.error("should be one of: google_cloud")
