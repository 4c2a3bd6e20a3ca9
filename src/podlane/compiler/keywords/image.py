"""``image`` and ``services``: text or a map; options for Docker and Kubernetes."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.keywords.script import check_commands
from podlane.compiler.keywords.variables import check_variables, lower_variables
from podlane.compiler.source import Map, Node, Seq
from podlane.model.job import ExecutorOptions, Image, KubernetesOptions

IMAGE_KEYS = ("name", "entrypoint", "ports", "pull_policy", "docker", "kubernetes")
SERVICE_KEYS = (*IMAGE_KEYS, "command", "alias", "variables")
PULL_POLICIES = ("always", "never", "if-not-present")


def check_image(entry: Entry) -> None:
    """Check ``image``."""
    _check(entry, IMAGE_KEYS)


def check_services(entry: Entry) -> None:
    """Check ``services``."""
    if not isinstance(entry.value, Seq):
        entry.error("should be an array", hint="write it as a list of images")
        return
    path = (*entry.path, "service")
    for index, item in enumerate(entry.value):
        _check(Entry(entry.findings, path, item, entry.value.item_at(index)), SERVICE_KEYS)


def _check(entry: Entry, keys: tuple[str, ...]) -> None:
    value = entry.value
    if isinstance(value, str):
        if not value.strip():
            entry.error("can't be blank", attribute="name")
        return
    if not isinstance(value, Map):
        entry.error("should be a hash or a string")
        return
    if not entry.known_keys(keys):
        return
    if not value.get("name"):
        entry.error("can't be blank", attribute="name", hint="a map needs `name: image`")
    else:
        values.string(entry, "name")
    values.string_list(entry, "entrypoint")
    if value.get("command") is not None:
        check_commands(entry.child("command"))
    if "ports" in value:
        entry.error(
            "contains disallowed keys: ports",
            mark=value.key_at("ports"),
            hint="GitLab takes ports in the configuration of web terminals only",
        )
    values.string(entry, "alias")
    _check_options(entry, value)
    if value.get("variables") is not None:
        check_variables(entry.child("variables"))


def _check_options(entry: Entry, value: Map) -> None:
    policy = value.get("pull_policy")
    if policy is not None:
        child = entry.child("pull_policy")
        listed = values.strings(policy)
        unknown = [word for word in listed if word not in PULL_POLICIES]
        if not listed or not (isinstance(policy, str) or values.is_string_list(policy)):
            child.error("should be a string or an array of strings")
        elif unknown:
            child.error(f"contains unknown values: {', '.join(unknown)}")
    for key, allowed in (("docker", ("platform", "user")), ("kubernetes", ("user",))):
        options = value.get(key)
        if options is None:
            continue
        child = entry.child(key)
        if not isinstance(options, Map):
            child.error("should be a hash")
        elif child.known_keys(allowed):
            _check_user(child, options, number=key == "kubernetes")


def _check_user(entry: Entry, options: Map, *, number: bool) -> None:
    for key, value in options.items():
        fine = isinstance(value, str) and 0 < len(value) <= 255  # noqa: PLR2004 - GitLab's schema
        if not fine and not (number and type(value) is int):
            entry.error(
                "is invalid",
                attribute=str(key),
                mark=options.value_at(key),
                hint=values.quote(value),
            )


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
    images = [lower_image(item) for item in value] if isinstance(value, Seq) else []
    return tuple(image for image in images if image is not None)


def _words(value: Node) -> tuple[str, ...] | None:
    return None if value is None else tuple(values.strings(value))
