"""Resource to URL and back, and the table of the resources that client and node know.

A resource's plural name stands for it everywhere; none of ours is in two groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

CORE = "/api/v1"
_GROUPS = "/apis"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of object, in version v1 of its group; the core group has no name."""

    name: str
    kind: str
    group: str = ""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of an object."""
        return f"{self.group}/v1" if self.group else "v1"

    @property
    def root(self) -> str:
        """Where the paths of its group begin."""
        return f"{_GROUPS}/{self.group}/v1" if self.group else CORE


RESOURCES: dict[str, Resource] = {
    resource.name: resource
    for resource in (
        Resource(
            name="pods", kind="Pod", short_names=("po",), categories=("all",),
            subresources=("status", "log", "exec", "attach", "eviction"),
        ),
        Resource(name="secrets", kind="Secret"),
        Resource(name="configmaps", kind="ConfigMap", short_names=("cm",)),
        Resource(name="events", kind="Event", short_names=("ev",)),
        Resource(name="serviceaccounts", kind="ServiceAccount", short_names=("sa",)),
        Resource(
            name="services", kind="Service", short_names=("svc",), categories=("all",),
            subresources=("status",),
        ),
        Resource(
            name="persistentvolumeclaims", kind="PersistentVolumeClaim", short_names=("pvc",),
            subresources=("status",),
        ),
        Resource(
            name="namespaces", kind="Namespace", namespaced=False, short_names=("ns",),
            subresources=("status",),
        ),
        Resource(
            name="nodes", kind="Node", namespaced=False, short_names=("no",),
            subresources=("status",),
        ),
        Resource(
            name="priorityclasses", kind="PriorityClass", group="scheduling.k8s.io",
            namespaced=False, short_names=("pc",),
        ),
        Resource(
            name="poddisruptionbudgets", kind="PodDisruptionBudget", group="policy",
            short_names=("pdb",), subresources=("status",),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a URL names. Without a namespace: all namespaces, or a resource that has none."""

    resource: str
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None


def path(
    resource: str, namespace: str | None = None, name: str | None = None, subresource: str = ""
) -> str:
    """Return the path of a collection, an object or a subresource.

    What belongs to the whole cluster is in no namespace, whatever ``namespace`` says.
    """
    known = RESOURCES.get(resource)
    parts = [CORE if known is None else known.root]
    if namespace is not None and (known is None or known.namespaced):
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(resource)
    if name is not None:
        parts.append(quote(name, safe=""))
    if subresource:
        parts.append(subresource)
    return "/".join(parts)


def parse(url_path: str) -> Target | None:
    """Return what a path names, or None if it is not of that form."""
    root, parts = _rooted(url_path)
    if not parts or "" in parts:
        return None
    namespace: str | None = None
    scoped = len(parts) > 2 and parts[0] == "namespaces" and parts[2] in RESOURCES  # noqa: PLR2004 - namespaces/NAME/RESOURCE
    if scoped and RESOURCES[parts[2]].namespaced:
        namespace, parts = parts[1], parts[2:]
    known = RESOURCES.get(parts[0])
    if known is None or known.root != root or len(parts) > 3:  # noqa: PLR2004 - RESOURCE/NAME/SUBRESOURCE
        return None
    name = parts[1] if len(parts) > 1 else None
    subresource = parts[2] if len(parts) > 2 else None  # noqa: PLR2004 - the third is there
    if subresource is not None and subresource not in known.subresources:
        return None
    return Target(resource=known.name, namespace=namespace, name=name, subresource=subresource)


def _rooted(url_path: str) -> tuple[str, list[str]]:
    """Return where the path of a group begins, and the words behind it; no words: it has no group."""
    if url_path.startswith(CORE + "/"):
        root = CORE
    elif url_path.startswith(_GROUPS + "/"):
        root = "/".join(url_path.split("/")[:4])
    else:
        return "", []
    return root, [unquote(part) for part in url_path[len(root) + 1 :].split("/")]
