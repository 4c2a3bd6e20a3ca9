"""The services of a job: their names in the pod and in its hosts file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from podlane.kit.errors import PermanentError
from podlane.model.job import Image, Variable

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_TAKEN = ("build", "helper", "init-permissions")
_PORT = re.compile(r":[0-9]+(?=/)")
_SUBDOMAIN_LIMIT = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class PodService:
    """One service as a container. ``aliases`` resolve to 127.0.0.1 in the pod."""

    container: str
    service: Image
    aliases: tuple[str, ...]
    variables: tuple[Variable, ...] = ()


class AliasError(PermanentError):
    """A service's alias cannot be a host name."""


def name_services(services: Iterable[Image]) -> list[PodService]:
    """Return the services with container and host names; those without an image are dropped.

    A container is called after the first alias that is a free DNS label, else ``svc-<n>``.

    Raises:
        AliasError: an alias that the user gave is not a host name.
    """
    taken = set(_TAKEN)
    named: list[PodService] = []
    for index, service in enumerate(entry for entry in services if entry.name):
        given = _given_aliases(service)
        container = next(
            (name for name in given if _LABEL.fullmatch(name) and name not in taken),
            f"svc-{index}",
        )
        taken.add(container)
        aliases = dict.fromkeys([*image_aliases(service.name), *given])
        named.append(
            PodService(
                container=container,
                service=service,
                aliases=tuple(aliases),
                variables=service.variables or (),
            )
        )
    return named


def image_aliases(image: str) -> list[str]:
    """Return the host names that GitLab derives from an image: slashes as ``__`` and as ``-``.

    A name that is none in DNS is left out, as GitLab Runner does: a cluster refuses the whole pod for
    it. So ``group/db`` is reached as ``group-db`` only.
    """
    name = _PORT.sub("", image.partition("@")[0])
    head, slash, last = name.rpartition("/")
    name = f"{head}{slash}{last.partition(':')[0]}"
    candidates = [name.replace("/", "__"), name.replace("/", "-")]
    return [name for name in dict.fromkeys(candidates) if _is_hostname(name)]


def host_names(services: Sequence[PodService]) -> list[str]:
    """Return all names of all services, each once."""
    return list(dict.fromkeys(alias for service in services for alias in service.aliases))


def _given_aliases(service: Image) -> list[str]:
    given = [name for name in re.split(r"[\s,]+", service.alias) if name]
    for name in given:
        if not _is_hostname(name):
            raise AliasError(
                f'the alias "{name}" of service {service.name} is not a valid host name',
                hint="use lower-case letters, digits and inner dashes",
            )
    return given


def _is_hostname(name: str) -> bool:
    return len(name) <= _SUBDOMAIN_LIMIT and _SUBDOMAIN.fullmatch(name) is not None
