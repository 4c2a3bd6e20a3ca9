"""A pod's /etc/resolv.conf: what the machine says, what the pod wants, what can work in there. Pure.

A name server on the machine's loopback (systemd's stub, dnsmasq) is not in the pod's network. As
dockerd and the kubelet do, systemd's list of the real servers is taken where there is one; else the
pod has a forwarder at the same address (see ``network``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

_NAMESERVERS, _SEARCHES = 3, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """The content of a resolv.conf. ``options`` as written there: ``name`` or ``name:value``."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def loopback(self) -> str:
        """The first name server, if it is on IPv4 loopback; else empty."""
        first = self.nameservers[:1]
        return first[0] if first and first[0].startswith("127.") else ""

    @property
    def text(self) -> str:
        """The file."""
        # In containerd's order.
        lines = [f"search {' '.join(self.searches)}"] if self.searches else []
        lines += [f"nameserver {address}" for address in self.nameservers]
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Resolver:
    """Return what a resolv.conf says (resolv.conf(5)): the last ``search`` or ``domain`` counts."""
    nameservers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            nameservers.append(words[1])
        elif words[:1] in (["search"], ["domain"]):
            searches = words[1:]
        elif words[:1] == ["options"]:
            options += words[1:]
    return Resolver(
        nameservers=tuple(nameservers), searches=tuple(searches), options=tuple(options)
    )


def machines(own: str, systemds: str) -> Resolver:
    """Return the machine's resolver as a pod with a network of its own can use it.

    ``own`` is /etc/resolv.conf, ``systemds`` /run/systemd/resolve/resolv.conf (empty: none).
    """
    resolver, real = parse(own), parse(systemds)
    if resolver.nameservers and not all(map(_is_loopback, resolver.nameservers)):
        kept = tuple(a for a in resolver.nameservers if not _is_loopback(a))
        return Resolver(nameservers=kept, searches=resolver.searches, options=resolver.options)
    usable = tuple(a for a in real.nameservers if not _is_loopback(a))
    if usable:
        searches = resolver.searches or real.searches
        return Resolver(nameservers=usable, searches=searches, options=resolver.options)
    # No line at all means 127.0.0.1, says resolv.conf(5).
    first = tuple(a for a in resolver.nameservers if a.startswith("127."))[:1] or ("127.0.0.1",)
    return Resolver(nameservers=first, searches=resolver.searches, options=resolver.options)


def for_pod(policy: str, base: Resolver, wanted: Resolver) -> Resolver:
    """Return a pod's resolver: ``dnsPolicy: None`` has only the pod's own ``dnsConfig``.

    The other policies begin with the machine's: this cluster has no name server of its own. The
    limits are Kubernetes': 3 servers, 32 domains; of an option named twice the pod's counts.
    """
    if policy == "None":
        base = Resolver()
    named = {_name(option): option for option in (*base.options, *wanted.options)}
    return Resolver(
        nameservers=_once((*base.nameservers, *wanted.nameservers))[:_NAMESERVERS],
        searches=_once((*base.searches, *wanted.searches))[:_SEARCHES],
        options=tuple(named.values()),
    )


def _name(option: str) -> str:
    return option.partition(":")[0]


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
