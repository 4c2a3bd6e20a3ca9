"""``image`` and ``services``: text or a map; options for Docker and Kubernetes."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import schema, values
from podlane.compiler.keywords.schema import Schema
from podlane.compiler.keywords.script import check_commands
from podlane.compiler.keywords.variables import check_plain_variables, lower_variables
from podlane.compiler.source import Map, Node, Seq, flatten
from podlane.model.job import ExecutorOptions, Image, KubernetesOptions

IMAGE_KEYS = ("name", "entrypoint", "ports", "pull_policy", "docker", "kubernetes")
SERVICE_KEYS = (*IMAGE_KEYS, "command", "alias", "variables")
PULL_POLICIES = ("always", "never", "if-not-present")
_NAME = Schema(types=("string",), lengths=(1, 255))
_OPTIONS = Schema(
    fields={
        "docker": Schema(
            types=("object",),
            closed=True,
            fields={"platform": Schema(types=("string",), lengths=(1, 64)), "user": _NAME},
        ),
        "kubernetes": Schema(
            types=("object",),
            closed=True,
            fields={"user": Schema(types=("string", "integer"), lengths=(1, 255))},
        ),
    },
)


def check_image(entry: Entry) -> None:
    """Check ``image``."""
    _check(entry, IMAGE_KEYS)


def check_services(entry: Entry) -> None:
    """Check ``services``."""
    if not isinstance(entry.value, Seq):
        entry.error("should be an array", hint="write it as a list of images")
        return
    for one in values.items(entry, (*entry.path, "service")):
        _check(one, SERVICE_KEYS)
        if values.is_blank(one.child("ports").value):
            values.string(one, "alias")
        else:
            values.required_string(one, "alias")
        if not one.absent("command"):
            check_commands(one.child("command"))
        if not one.absent("variables"):
            check_plain_variables(one.child("variables"))


def _check(entry: Entry, keys: tuple[str, ...]) -> None:
    value = entry.value
    if values.is_string(value):
        if values.is_blank(value):
            entry.error("can't be blank", attribute="name")
        return
    if not isinstance(value, Map):
        entry.error("should be a hash or a string")
    entry.known_keys(keys)
    values.required_string(entry, "name", "a map needs `name: image`")
    values.string_list(entry, "entrypoint")
    if isinstance(value, Map) and "ports" in value:
        entry.error(
            "contains disallowed keys: ports",
            mark=value.key_at("ports"),
            hint="GitLab takes ports in the configuration of web terminals only",
        )
    _check_options(entry)
    if not entry.absent("pull_policy"):
        _check_pull_policy(entry.child("pull_policy"))


def _check_pull_policy(entry: Entry) -> None:
    value = entry.value
    if not values.is_strings_or_string(value):
        entry.error("should be an array of strings or a string")
    if isinstance(value, Seq):
        unknown = [word for word in value if word not in PULL_POLICIES]
        if unknown:
            entry.error(f"contains unknown values: {values.joined(unknown)}")
        if not value:
            entry.error("can't be blank")
    elif isinstance(value, str) and value not in PULL_POLICIES:
        entry.error("is not included in the list", hint=f"one of: {', '.join(PULL_POLICIES)}")


def _check_options(entry: Entry) -> None:
    options = Map()
    for key in ("docker", "kubernetes"):
        if not entry.absent(key):
            options[key] = entry.child(key).value
    if options:
        schema.check(entry, "executor opts", _OPTIONS, options)


def lower_image(value: Node) -> Image | None:
    """Return a checked ``image`` or service as the model's."""
    if isinstance(value, str):
        return Image(name=value)
    if not isinstance(value, Map):
        return None
    kubernetes = value.get("kubernetes")
    user = kubernetes.get("user") if isinstance(kubernetes, Map) else None
    options = None
    if isinstance(user, (str, int)):
        options = ExecutorOptions(kubernetes=KubernetesOptions(user=user))
    alias = value.get("alias")
    return Image(
        name=str(value.get("name")),
        alias=alias if isinstance(alias, str) else "",
        entrypoint=_words(value.get("entrypoint")),
        command=_words(value.get("command")),
        pull_policy=_words(value.get("pull_policy")),
        variables=lower_variables(value.get("variables")) or None,
        executor_opts=options,
    )


def lower_services(value: Node) -> tuple[Image, ...]:
    """Return a checked ``services`` as the model's."""
    flat = flatten(value, values.MAX_DEPTH) if isinstance(value, Seq) else None
    images = [lower_image(item) for item in flat or ()]
    return tuple(image for image in images if image is not None)


def _words(value: Node) -> tuple[str, ...] | None:
    return None if value is None else tuple(values.strings(value))
