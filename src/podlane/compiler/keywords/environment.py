"""``environment``, ``resource_group``, ``pages``: what a job does to the outside."""

from __future__ import annotations

import re

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import schema, values
from podlane.compiler.keywords.schema import Schema
from podlane.compiler.source import Map, Node, Reference

KEYS = ("name", "url", "action", "on_stop", "auto_stop_in", "kubernetes", "deployment_tier")
ACTIONS = ("start", "stop", "prepare", "verify", "access")
MAX_URL = 255
_KUBERNETES_KEYS = ("namespace", "agent", "flux_resource_path", "managed_resources", "dashboard")
_MANAGED_RESOURCES = Schema(
    types=("object",), closed=True, fields={"enabled": Schema(types=("boolean",))}
)
_DASHBOARD = Schema(
    types=("object",),
    closed=True,
    required=("namespace",),
    fields={
        "namespace": Schema(types=("string",), lengths=(1, 63)),
        "flux_resource_path": Schema(types=("string",), lengths=(1, 255)),
    },
)
MAX_RESOURCE_GROUP = 255
_NAME = re.compile(r"\A[a-zA-Z0-9_\-$\{\}. ](?:[a-zA-Z0-9_/\-$\{\}. ]*[a-zA-Z0-9_\-$\{\}. ])?\Z")
_NAME_TEXT = (
    "can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', and spaces, "
    "but it cannot start or end with '/'"
)


def check_environment(entry: Entry) -> None:
    """Check ``environment``."""
    value = entry.value
    if isinstance(value, str):
        _check_name(entry, value, entry)
        return
    if not isinstance(value, Map):
        entry.error("should be a hash or a string")
    name = entry.child("name")
    if not isinstance(name.value, Reference):
        _check_name(entry, name.value, name)
    entry.known_keys(KEYS)
    _check_url(entry)
    if entry.child("action").value is not False:  # which GitLab takes for the default
        values.one_of(entry, "action", ACTIONS, "should be start, stop, prepare, verify, or access")
    for key in ("deployment_tier", "on_stop", "auto_stop_in"):
        values.string(entry, key)
    values.hash_value(entry, "kubernetes")
    if isinstance(entry.child("kubernetes").value, Map):
        _check_kubernetes(entry.child("kubernetes"))


def _check_url(entry: Entry) -> None:
    values.string(entry, "url")
    url = entry.child("url")
    if url.value is not None and values.length(url.value) > MAX_URL:
        entry.error(
            f"is too long (maximum is {MAX_URL} characters)", attribute="url", mark=url.mark
        )


def _check_kubernetes(entry: Entry) -> None:
    if values.is_blank(entry.value):
        entry.error("can't be blank")
    entry.known_keys(_KUBERNETES_KEYS)
    for key in ("namespace", "agent", "flux_resource_path"):
        values.string(entry, key)
    resources, shown = entry.child("managed_resources").value, entry.child("dashboard").value
    path = entry.child("flux_resource_path").value
    if resources is not None:
        schema.check(entry, "managed resources", _MANAGED_RESOURCES, resources)
    if not values.is_blank(shown):
        schema.check(entry, "dashboard", _DASHBOARD, shown)
    managed = isinstance(resources, Map) and resources.get("enabled") is True
    if not values.is_blank(path):
        values.present(entry, "namespace", "flux_resource_path needs a namespace")
    if managed or not (values.is_blank(path) and values.is_blank(shown)):
        values.present(entry, "agent", "name the agent, path/to/project:name")
    for key in ("namespace", "flux_resource_path"):
        both = isinstance(shown, Map) and not values.is_blank(shown.get(key))
        if both and not values.is_blank(entry.child(key).value):
            entry.error(
                f"cannot be specified when dashboard.{key} is set",
                attribute=values.attribute(key),
                mark=entry.child(key).mark,
            )


def _check_name(entry: Entry, name: Node, at: Entry) -> None:
    if values.is_blank(name):
        entry.error("can't be blank", attribute="name")
    if not values.is_string(name) or not isinstance(name, str) or not _NAME.match(name):
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


def check_publish(entry: Entry) -> None:
    """Check ``publish``."""
    if not values.is_string(entry.value):
        entry.error("should be a string", hint=values.quote(entry.value))


def check_pages(entry: Entry) -> None:
    """Check ``pages``."""
    if not isinstance(entry.value, (bool, Map)):
        entry.error(
            "should be a hash or a boolean value", hint="pages: true, or pages: {publish: dist}"
        )
    entry.known_keys(("path_prefix", "expire_in", "publish"))
    values.string(entry, "path_prefix")
    values.expiry(entry, "expire_in", variable=True)
    values.string(entry, "publish")


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
