"""``environment``, ``resource_group``, ``release``, ``pages``: what a job does to the outside."""

from __future__ import annotations

import re

from podlane.compiler import durations
from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Seq

KEYS = ("name", "url", "action", "on_stop", "auto_stop_in", "kubernetes", "deployment_tier")
ACTIONS = ("start", "stop", "prepare", "verify", "access")
MAX_URL = 255
MAX_RESOURCE_GROUP = 255
_NAME = re.compile(r"\A[a-zA-Z0-9_\-$\{\}. ](?:[a-zA-Z0-9_/\-$\{\}. ]*[a-zA-Z0-9_\-$\{\}. ])?\Z")
_NAME_TEXT = (
    "can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', and spaces, "
    "but it cannot start or end with '/'"
)
_RELEASE_KEYS = (
    "tag_name", "tag_message", "name", "description", "ref", "released_at", "milestones", "assets",
)  # fmt: skip
_STAMP = re.compile(
    r"\A\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\Z"
)


def check_environment(entry: Entry) -> None:
    """Check ``environment``."""
    value = entry.value
    if isinstance(value, str):
        _check_name(entry, value, entry)
        return
    if not isinstance(value, Map):
        entry.error("should be a hash or a string")
        return
    if not entry.known_keys(KEYS):
        return
    _check_name(entry, value.get("name"), entry.child("name"))
    _check_url(entry, value)
    _check_action(entry, value)
    for key in ("deployment_tier", "auto_stop_in"):
        values.string(entry, key)
    kubernetes = value.get("kubernetes")
    if kubernetes is not None:
        child = entry.child("kubernetes")
        if isinstance(kubernetes, Map):
            child.known_keys(
                ("agent", "namespace", "flux_resource_path", "managed_resources", "dashboard")
            )
        else:
            child.error("should be a hash")


def _check_url(entry: Entry, value: Map) -> None:
    values.string(entry, "url")
    url = value.get("url")
    if isinstance(url, str) and len(url) > MAX_URL:
        entry.error(f"is too long (maximum is {MAX_URL} characters)", attribute="url")


def _check_action(entry: Entry, value: Map) -> None:
    values.string(entry, "on_stop")
    action = value.get("action")
    if action is not None and action not in ACTIONS:
        entry.error(
            "should be start, stop, prepare, verify, or access",
            attribute="action",
            mark=value.value_at("action"),
        )


def _is_variable(value: Node) -> bool:
    return isinstance(value, str) and "$" in value


def _check_name(entry: Entry, name: Node, at: Entry) -> None:
    if name is None or name == "":
        entry.error("can't be blank", attribute="name")
    elif not isinstance(name, str) or not _NAME.match(name):
        entry.error(_NAME_TEXT, attribute="name", mark=at.mark)


def is_resource_group(key: str) -> bool:
    """Whether GitLab makes a resource group of an expanded key (``Ci::ResourceGroup``)."""
    return len(key) <= MAX_RESOURCE_GROUP and _NAME.match(key) is not None


def environment_of(value: Node) -> Map | None:
    """Return a checked ``environment`` as a map."""
    if isinstance(value, str):
        found = Map()
        found["name"] = value
        return found
    return value if isinstance(value, Map) else None


def auto_stop_seconds(value: Node) -> int | None:
    """Return a checked ``auto_stop_in``."""
    length = durations.seconds(value) if isinstance(value, str) else None
    return None if length is None else int(length)


def check_release(entry: Entry) -> None:
    """Check ``release``."""
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash")
        return
    if not entry.known_keys(_RELEASE_KEYS):
        return
    for key in ("tag_name", "description"):
        if not value.get(key):
            entry.error("can't be blank", attribute=values.attribute(key))
    for key in ("tag_name", "tag_message", "name", "description", "ref"):
        values.string(entry, key)
    milestones = value.get("milestones")
    texts = isinstance(milestones, str) or values.is_string_list(milestones)
    if milestones is not None and not texts:
        entry.error("should be an array of strings or a string", attribute="milestones")
    stamp = value.get("released_at")
    if stamp is not None and not (
        isinstance(stamp, str) and (_STAMP.match(stamp) or _is_variable(stamp))
    ):
        entry.error("must be a valid datetime", attribute="released at", hint="ISO 8601, quoted")
    if value.get("assets") is not None:
        _check_assets(entry.child("assets"))


def _check_assets(entry: Entry) -> None:
    if not isinstance(entry.value, Map):
        entry.error("should be a hash")
        return
    if not entry.known_keys(("links",)):
        return
    links = entry.child("links")
    if not isinstance(links.value, Seq) or not links.value:
        links.error("should be an array of hashes")
        return
    for index, item in enumerate(links.value):
        one = Entry(entry.findings, (*links.path, "link"), item, links.value.item_at(index))
        if not isinstance(item, Map):
            one.error("should be a hash")
        elif one.known_keys(("name", "url", "filepath", "link_type")):
            for key in ("name", "url"):
                if not item.get(key):
                    one.error("can't be blank", attribute=key)


def check_pages(entry: Entry) -> None:
    """Check ``pages``."""
    value = entry.value
    if isinstance(value, bool):
        return
    if not isinstance(value, Map):
        entry.error("should be a boolean or a hash", hint="pages: true, or pages: {publish: dist}")
        return
    if entry.known_keys(("publish", "path_prefix", "expire_in")):
        values.string(entry, "publish")
        values.string(entry, "path_prefix")
        values.duration(entry, "expire_in", never=True)


def is_pages(name: str, job: Map) -> bool:
    """Whether the job publishes GitLab Pages."""
    pages = job.get("pages")
    if pages is True or (isinstance(pages, Map) and pages):
        return True
    return name == "pages" and pages is not False


def publish_path(job: Map) -> str:
    """Return the directory that a Pages job publishes."""
    pages = job.get("pages")
    named = pages.get("publish") if isinstance(pages, Map) else None
    named = named or job.get("publish")
    return named if isinstance(named, str) else "public"
