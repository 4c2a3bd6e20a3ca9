"""What a job changes of its runner's settings with ``KUBERNETES_*`` variables (section 5). Pure.

The runner's settings say how far: a resource has a ceiling, everything else a regular expression.
Read :func:`overwritten` first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from podlane.executors.base import Message
from podlane.executors.kubernetes.manifests.metadata import OWN_ANNOTATION, OWN_LABEL
from podlane.executors.kubernetes.manifests.services import PodService
from podlane.executors.kubernetes.planning.placement import NAMESPACE_VARIABLE, TOKEN_VARIABLE
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.allowances import CEILING, EXPRESSION
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit import goregex
from podlane.kit.units import exact_quantity
from podlane.model.job import Variable
from podlane.model.variables import Variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwritten:
    """Settings as one job has them. ``notes`` are for its trace.

    ``services``: by container, where the service's own variables ask for more.
    """

    settings: KubernetesSettings
    services: Mapping[str, KubernetesSettings]
    notes: tuple[Message, ...]

    def of_service(self, container: str) -> KubernetesSettings:
        """Return the settings of one service."""
        return self.services.get(container, self.settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resource:
    """One amount: the key of the settings, GitLab's name of it, and of the list that it is in."""

    key: str
    name: str
    group: str

    @property
    def variable(self) -> str:
        return f"KUBERNETES_{self.key.upper()}"

    @property
    def is_limit(self) -> bool:
        return self.key.endswith("_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table that variables with a common prefix add to; a job adds no keys that are ``ours``."""

    key: str
    name: str
    split: Callable[[str], tuple[str, str] | None]
    ours: re.Pattern[str] | None = None

    @property
    def prefix(self) -> str:
        return f"KUBERNETES_{self.key.upper()}_"


def _pair(text: str) -> tuple[str, str] | None:
    key, equals, value = text.partition("=")
    return (key, value) if equals else None


def _toleration(text: str) -> tuple[str, str] | None:
    key, _, effect = text.partition(":")
    return key, effect


# In GitLab Runner's order: whatever is wrong first is told.
_ACCOUNT = "KUBERNETES_SERVICE_ACCOUNT_OVERWRITE"
_TABLES = (
    _Table(key="pod_labels", name="PodLabels", split=_pair, ours=OWN_LABEL),
    _Table(key="pod_annotations", name="PodAnnotations", split=_pair, ours=OWN_ANNOTATION),
    _Table(key="node_selector", name="NodeSelector", split=_pair),
    _Table(key="node_tolerations", name="NodeTolerations", split=_toleration),
)
_CONTAINERS = (
    ("", "", "build"),
    ("service_", "Service", "service"),
    ("helper_", "Helper", "helper"),
    ("pod_", "Pod", "Pod"),
)
_AMOUNTS = (("cpu", "CPU"), ("memory", "Memory"), ("ephemeral_storage", "EphemeralStorage"))
_RESOURCES = tuple(
    _Resource(
        key=f"{prefix}{amount}_{kind.lower()}",
        name=f"{title}{amount_title}{kind}",
        group=f"{group} {kind.lower()}s",
    )
    for prefix, title, group in _CONTAINERS
    for kind in ("Request", "Limit")
    for amount, amount_title in _AMOUNTS
    if (prefix, amount) != ("pod_", "ephemeral_storage")  # the pod as a whole has none
)
_OF_SERVICES = tuple(resource for resource in _RESOURCES if resource.key.startswith("service_"))


def overwritten(
    settings: KubernetesSettings, variables: Variables, services: Sequence[PodService]
) -> Overwritten:
    """Return the settings of the job that has these expanded ``variables``.

    Raises:
        PlanError: a variable asks for more than the runner allows, or cannot be read.
    """
    pen = _Pen(settings, variables, "couldn't prepare overwrites")
    pen.account()
    for table in _TABLES:
        pen.table(table)
    for resource in _RESOURCES:
        pen.resource(resource, variables.value(resource.variable))
    effective = pen.written()
    own: dict[str, KubernetesSettings] = {}
    lines, ignored = pen.lines, {**_elsewhere(settings, variables), **pen.ignored}
    for service in services:
        pen = _Pen(effective, variables, "couldn't prepare explicit service overwrites")
        values = {each.key: _expanded(each, variables) for each in service.variables}
        for resource in _OF_SERVICES:
            pen.resource(resource, values.get(resource.variable, ""))
        if pen.lines:
            own[service.container] = pen.written()
        lines += [f"{line} for service {service.container}" for line in pen.lines]
        ignored |= pen.ignored
    if ignored:
        named = ", ".join(f"{name} (needs {key})" for name, key in ignored.items())
        lines.append(f"Ignored, because the runner does not allow it: {named}")
    notes = tuple(Message(text=line) for line in lines)
    return Overwritten(settings=effective, services=own, notes=notes)


def _elsewhere(settings: KubernetesSettings, variables: Variables) -> dict[str, str]:
    """Return what ``placement`` does not take of a job, and what would allow it."""
    ignored: dict[str, str] = {}
    if variables.value(NAMESPACE_VARIABLE) and settings.namespace_per_job:
        ignored[NAMESPACE_VARIABLE] = "namespace_per_job = false"
    elif variables.value(NAMESPACE_VARIABLE) and not settings.namespace_overwrite_allowed:
        ignored[NAMESPACE_VARIABLE] = "namespace_overwrite_allowed"
    if variables.value(TOKEN_VARIABLE) and not settings.bearer_token_overwrite_allowed:
        ignored[TOKEN_VARIABLE] = "bearer_token_overwrite_allowed"
    return ignored


def _expanded(variable: Variable, variables: Variables) -> str:
    return variable.value if variable.raw else variables.expand(variable.value)


class _Pen:
    """Writes into a copy of the settings, and notes what the trace should say.

    ``ignored``: names of variables, and the key that would allow each.
    """

    def __init__(self, settings: KubernetesSettings, variables: Variables, failing: str) -> None:
        self._settings = settings
        self._variables = variables
        self._failing = failing
        self._changes: dict[str, object] = {}
        self.lines: list[str] = []
        self.ignored: dict[str, str] = {}

    def written(self) -> KubernetesSettings:
        """Return the settings with everything that was overwritten."""
        return msgspec.structs.replace(self._settings, **self._changes)

    def account(self) -> None:
        """Overwrite the service account."""
        wished = self._variables.value(_ACCOUNT)
        if wished and self._may("service_account", _ACCOUNT, wished):
            self._changes["service_account"] = wished
            self._note('"ServiceAccount"', wished)

    def table(self, table: _Table) -> None:
        """Add what the variables of a prefix say; of two for one key, the later."""
        before: object = getattr(self._settings, table.key)
        after = dict(before) if isinstance(before, dict) else {}
        for variable in self._with_prefix(table.prefix):
            if not self._may(table.key, variable.key, variable.value):
                continue
            pair = table.split(variable.value)
            if pair is None:
                raise self._refusal(
                    f"provided value {self._quoted(variable.value)} does not match "
                    f'"k=v"', f"write {variable.key} as key=value",
                )  # fmt: skip
            if table.ours is not None and table.ours.fullmatch(pair[0]):
                what = table.key.removeprefix("pod_").removesuffix("s")
                self.lines.append(
                    f"{variable.key} is ignored: the {what} {self._quoted(pair[0])} is the runner's own"
                )
                continue
            after[pair[0]] = pair[1]
            self._note(f'"{table.name}" {self._quoted(pair[0])}', pair[1])
        self._changes[table.key] = after

    def resource(self, resource: _Resource, wished: str) -> None:
        """Overwrite an amount with what a variable says, unless that is empty."""
        key = f"{resource.key}{CEILING}"
        ceiling: object = getattr(self._settings, key)
        if not wished:
            return
        if not isinstance(ceiling, str) or not ceiling:
            self.ignored[resource.variable] = key
            return
        amount, most = exact_quantity(wished), exact_quantity(ceiling)
        if amount is None:
            raise self._refusal(
                f"invalid {resource.group} specified: parsing resource limit: "
                f"{self._quoted(wished)} is not a quantity",
                f"write {resource.variable} as Kubernetes does: 500m, 2, 256Mi, 1Gi",
            )
        unlimited = resource.is_limit and amount <= 0
        if most is None or amount > most or unlimited:
            hint = f"lower {resource.variable}, or let the runner's administrator raise {key}"
            if unlimited:
                hint = f"raise {resource.variable}: to Kubernetes a limit of 0 is none at all"
            raise self._refusal(
                f'invalid {resource.group} specified: the resource "{resource.name}" requested '
                f"{self._quoted(wished)} is higher than limit allowed {_quoted(ceiling)}",
                hint,
            )
        self._changes[resource.key] = wished
        self._note(f'"{resource.name}"', wished)

    def _may(self, key: str, variable: str, value: str) -> bool:
        """Whether the runner lets ``variable`` overwrite the setting at all."""
        pattern: object = getattr(self._settings, f"{key}{EXPRESSION}")
        if not isinstance(pattern, str) or not pattern:
            self.ignored[variable] = f"{key}{EXPRESSION}"
            return False
        if not goregex.found(pattern, value):
            raise self._refusal(
                f"provided value {self._quoted(value)} does not match {_quoted(pattern)}",
                f"{variable} must match {key}{EXPRESSION} of the runner",
            )
        return True

    def _with_prefix(self, prefix: str) -> Iterator[Variable]:
        """Yield the variables of a prefix, each name once, in the order of the last definitions."""
        last: dict[str, Variable] = {}
        for variable in self._variables:
            if variable.key.startswith(prefix):
                last.pop(variable.key, None)
                last[variable.key] = variable
        yield from last.values()

    def _note(self, what: str, value: str) -> None:
        self.lines.append(f"{what} overwritten with {self._quoted(value)}")

    def _refusal(self, said: str, hint: str) -> PlanError:
        return PlanError(f"{self._failing}: {said}", hint=hint)

    def _quoted(self, value: str) -> str:
        for secret in self._variables.masked_values():
            value = value.replace(secret, "[MASKED]")
        return _quoted(value)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
