"""``spec.resources`` of a pod (KEP-2837): defaults, rules and quality of service.

As an API server with the feature PodLevelResources has them (``defaultPodRequests``,
``validatePodResourceConsistency``, ``ComputePodQOS``). Huge pages are not offered here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction

from podlane.kit.jsonvalue import JsonObject, obj, objects, text
from podlane.kit.units import exact_quantity
from podlane.node.apiserver.findings import Findings

_SUPPORTED = ("cpu", "memory")
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")


def default_requests(spec: JsonObject) -> None:
    """Fill in the requests of a pod that has limits, in place: the containers', else the limits."""
    resources = obj(spec, "resources")
    limits = obj(resources, "limits")
    if not limits:
        return
    wanted = {name: amount for name, amount in limits.items() if name in _SUPPORTED}
    for name, amount in aggregate(spec).items():
        if name in _SUPPORTED:
            wanted[name] = shown(name, amount)
    requests = {**wanted, **obj(resources, "requests")}
    if requests:
        resources["requests"] = requests


def check(findings: Findings, spec: JsonObject) -> None:
    """Check that containers fit into their pod."""
    resources = obj(spec, "resources")
    for group in ("limits", "requests"):
        for name in obj(resources, group):
            findings.choice(f"spec.resources.{group}[{name}]", name, _SUPPORTED)
    wanted = aggregate(spec)
    for name, raw in obj(resources, "requests").items():
        whole = exact_quantity(str(raw))
        if whole is not None and wanted.get(name, 0) > whole:
            least = shown(name, wanted[name])
            message = f"must be greater than or equal to aggregate container requests of {least}"
            findings.invalid(f"spec.resources.requests[{name}]", str(raw), message)
    limits = obj(resources, "limits")
    for index, container in enumerate(objects(spec, "containers")):
        for name, raw in obj(container, "resources", "limits").items():
            whole = exact_quantity(str(limits[name])) if name in limits else None
            own = exact_quantity(str(raw))
            if own is not None and whole is not None and own > whole:
                # Kubernetes builds this path from the resources of the pod, too.
                field = f"spec.resources.containers[{index}][{name}].limits"
                message = f"must be less than or equal to pod limits of {limits[name]}"
                findings.invalid(field, str(raw), message)


def quality(spec: JsonObject) -> str | None:
    """Return the quality of service that the resources of the pod decide, None without any."""
    limits, requests = (_amounts(obj(spec, "resources", group)) for group in ("limits", "requests"))
    if not limits and not requests:
        return None
    return "Guaranteed" if set(limits) == set(_SUPPORTED) and limits == requests else "Burstable"


def aggregate(spec: JsonObject) -> dict[str, Fraction]:
    """Return what all containers request together; init containers run one after the other."""
    total = _sum(_requests(container) for container in objects(spec, "containers"))
    beside: dict[str, Fraction] = {}
    highest: dict[str, Fraction] = {}
    for container in objects(spec, "initContainers"):
        if text(container, "restartPolicy") == "Always":
            total = _sum((total, _requests(container)))
            beside = _sum((beside, _requests(container)))
            now = beside
        else:
            now = _sum((beside, _requests(container)))
        highest = {name: max(highest.get(name, now[name]), now[name]) for name in now} | {
            name: amount for name, amount in highest.items() if name not in now
        }
    return {
        name: max(total.get(name, Fraction(0)), highest.get(name, Fraction(0)))
        for name in {**total, **highest}
    }


def _requests(container: JsonObject) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for name, raw in obj(container, "resources", "requests").items():
        amount = exact_quantity(str(raw))
        if amount is not None:
            found[name] = amount
    return found


def _amounts(table: JsonObject) -> dict[str, Fraction]:
    found = {name: exact_quantity(str(table[name])) for name in _SUPPORTED if name in table}
    return {name: amount for name, amount in found.items() if amount}


def _sum(tables: Iterable[dict[str, Fraction]]) -> dict[str, Fraction]:
    total: dict[str, Fraction] = defaultdict(Fraction)
    for table in tables:
        for name, amount in table.items():
            total[name] += amount
    return dict(total)


def shown(name: str, amount: Fraction) -> str:
    """Return an amount as Kubernetes writes it: ``1500m``, ``2``, ``6Gi``."""
    if name != "cpu" and amount.denominator == 1:
        for power, suffix in zip(range(len(_BINARY), 0, -1), _BINARY, strict=True):
            if amount and amount % (1 << 10 * power) == 0:
                return f"{amount / (1 << 10 * power)}{suffix}"
    if amount.denominator == 1:
        return str(amount)
    return f"{-(-amount * 1000 // 1)}m"
