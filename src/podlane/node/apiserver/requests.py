"""What a request asks, decoded: options from the query, objects from the body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import yaml

from podlane.kit.jsonvalue import Json, JsonObject, number, obj, text
from podlane.kube import errors
from podlane.kube.paths import Resource
from podlane.node.apiserver import protobuf
from podlane.node.apiserver.selectors import Selector, selector

_TRUE = ("true", "1", "True")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """Options of list, watch and get."""

    selects: Selector | None
    watch: bool
    since: int | None
    bookmarks: bool
    timeout_seconds: int | None
    table: bool
    include_object: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """Options of delete; ``dry_run`` changes nothing."""

    grace_seconds: int | None = None
    uid: str = ""
    dry_run: bool = False


def list_options(query: Mapping[str, str], accept: str, resource: str) -> ListOptions:
    """Return the options of a list or watch.

    Raises:
        errors.InvalidError: one of them cannot be understood.
    """
    if "sendInitialEvents" in query:  # clients list first when they hear this
        raise errors.failure(
            422,
            "Invalid",
            'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: '
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
        )
    return ListOptions(
        selects=selector(query.get("labelSelector", ""), query.get("fieldSelector", ""), resource),
        watch=is_true(query, "watch"),
        since=whole(query, "resourceVersion"),
        bookmarks=is_true(query, "allowWatchBookmarks"),
        timeout_seconds=whole(query, "timeoutSeconds"),
        table="as=Table" in accept.partition(",")[0],
        include_object=query.get("includeObject", "Metadata"),
    )


def is_true(query: Mapping[str, str], name: str) -> bool:
    """Whether a flag of the query is set."""
    return query.get(name, "") in _TRUE


def whole(query: Mapping[str, str], name: str) -> int | None:
    """Return a number of the query, or None if it is not given.

    Raises:
        errors.InvalidError: it is not a whole number.
    """
    raw = query.get(name, "")
    if not raw:
        return None
    if not raw.isdigit():
        raise errors.bad_request(f'strconv.ParseInt: parsing "{raw}": invalid syntax ({name})')
    return int(raw)


def is_dry_run(query: Mapping[str, str]) -> bool:
    """Whether the request must change nothing.

    Raises:
        errors.InvalidError: neither All nor absent.
    """
    value = query.get("dryRun", "")
    if value not in ("", "All"):
        raise errors.bad_request(f'dryRun: Unsupported value: "{value}": supported values: "All"')
    return value == "All"


def delete_options(query: Mapping[str, str], body: bytes, content_type: str) -> DeleteOptions:
    """Return the options of a delete, from the body and from the query.

    Raises:
        errors.InvalidError: one of them cannot be understood.
    """
    return options_of(decode(body, content_type) if body else {}, query)


def options_of(sent: JsonObject, query: Mapping[str, str]) -> DeleteOptions:
    """Return the options in a DeleteOptions, or else in the query (errors as ``delete_options``)."""
    grace = number(sent, "gracePeriodSeconds")
    return DeleteOptions(
        grace_seconds=whole(query, "gracePeriodSeconds") if grace is None else grace,
        uid=text(sent, "preconditions", "uid"),
        dry_run=is_dry_run(query) or bool(sent.get("dryRun")),
    )


def decode(body: bytes, content_type: str) -> JsonObject:
    """Return the object in a body, JSON or YAML.

    Raises:
        errors.ApiError: it is of another type (415), or not an object (400).
    """
    value = decode_any(body, content_type)
    if not isinstance(value, dict):
        raise errors.bad_request("the object provided is unrecognized: it is not a mapping")
    return value


def decode_any(body: bytes, content_type: str) -> Json:
    """Return the value in a body (errors as ``decode``)."""
    try:
        if "protobuf" in content_type:
            return _from_protobuf(body)
        if "yaml" in content_type:
            loaded: Json = yaml.load(body, Loader=yaml.CSafeLoader)
            return loaded
        decoded: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, yaml.YAMLError) as error:
        raise errors.bad_request(f"the object provided is unrecognized: {error}") from error
    return decoded


def _from_protobuf(body: bytes) -> JsonObject:
    entry = protobuf.decode(body)
    if entry is None:
        raise errors.failure(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml (protobuf for a few kinds only)",
        )
    return entry


def check_kind(entry: JsonObject, resource: Resource) -> None:
    """Refuse an object of another kind.

    Raises:
        errors.InvalidError: it is one.
    """
    named = text(entry, "kind")
    version = text(entry, "apiVersion")
    if named not in ("", resource.kind) or version not in ("", resource.api_version):
        raise errors.bad_request(
            f"the API version in the data ({version}) or the kind ({named}) does not match the "
            f"expected {resource.api_version} {resource.kind}"
        )


def check_version(old: JsonObject, new: JsonObject, resource: str) -> None:
    """Refuse a write that is based on an older version.

    Raises:
        errors.ConflictError: it is.
    """
    based_on = text(new, "metadata", "resourceVersion")
    if based_on and based_on != text(old, "metadata", "resourceVersion"):
        why = (
            "the object has been modified; please apply your changes to the latest version and "
            "try again"
        )
        raise errors.conflict(resource, text(obj(old, "metadata"), "name"), why)
