"""``dns_config`` and ``container_lifecycle``: their tables, and what can be wrong with them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from podlane.executors.kubernetes.settings.base import Table
from podlane.kit.diagnostics import Diagnostic, Place, Severity

_MOST_SERVERS, _MOST_SEARCHES = 3, 32
_MOST_PORT = 65535
_SCHEMES = ("", "HTTP", "HTTPS")


class DnsOption(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``dns_config.options``."""

    name: str = ""
    value: str | None = None


class DnsConfig(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``dns_config``."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class ExecAction(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``exec`` of a handler."""

    command: tuple[str, ...] = ()


class HttpHeader(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``http_get.http_headers``."""

    name: str = ""
    value: str = ""


class HttpGet(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``http_get`` of a handler. Without ``host`` it goes to the pod."""

    host: str = ""
    port: int = 0
    path: str = ""
    scheme: str = ""
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocket(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tcp_socket`` of a handler."""

    host: str = ""
    port: int = 0


class Handler(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``post_start`` or ``pre_stop``: one of the three."""

    exec: ExecAction | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None


class Lifecycle(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``container_lifecycle``: of every container but ``init-permissions``."""

    post_start: Handler | None = None
    pre_stop: Handler | None = None


def dns_problems(config: DnsConfig, policy: str, place: Place) -> list[Diagnostic]:
    """Return everything that Kubernetes would refuse; ``policy`` is ``dns_policy``."""
    where = "runners.kubernetes.dns_config"
    texts: list[str] = []
    for address in config.nameservers:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            texts.append(f'{where}.nameservers: "{address}" is not an IP address')
    if len(config.nameservers) > _MOST_SERVERS:
        texts.append(f"{where}.nameservers: Kubernetes takes at most {_MOST_SERVERS}")
    if len(config.searches) > _MOST_SEARCHES:
        texts.append(f"{where}.searches: Kubernetes takes at most {_MOST_SEARCHES}")
    texts += [
        f"{where}.options[{index}]: name must be set"
        for index, option in enumerate(config.options)
        if not option.name
    ]
    if policy == "none" and not config.nameservers:
        texts.append(
            'runners.kubernetes.dns_policy "none" needs a server in dns_config.nameservers'
        )
    return [Diagnostic(code="setting-value", message=text, place=place) for text in texts]


def lifecycle_problems(lifecycle: Lifecycle, place: Place) -> list[Diagnostic]:
    """Return everything that Kubernetes would refuse, or would let fail in every pod."""
    findings: list[Diagnostic] = []
    for name in ("post_start", "pre_stop"):
        handler: Handler | None = getattr(lifecycle, name)
        if handler is None:
            continue
        where = f"runners.kubernetes.container_lifecycle.{name}"
        findings += [
            Diagnostic(code="setting-value", message=f"{where}{text}", place=place)
            for text in _handler_problems(handler)
        ]
        if handler.tcp_socket is not None:
            findings.append(_tcp_problem(name, where, place))
    return findings


def _tcp_problem(name: str, where: str, place: Place) -> Diagnostic:
    """Kubernetes' API has this handler, and no kubelet runs it (``lifecycle/handlers.go``)."""
    effect = "so every container would be killed at its start"
    if name == "pre_stop":
        effect = "so it does nothing"
    return Diagnostic(
        code="setting-value", place=place,
        severity=Severity.ERROR if name == "post_start" else Severity.WARNING,
        message=f"{where}.tcp_socket: Kubernetes cannot run it, {effect}",
        hint="use exec or http_get",
    )  # fmt: skip


def _handler_problems(handler: Handler) -> Iterator[str]:
    given = [key for key in handler.__struct_fields__ if getattr(handler, key) is not None]
    if not given:
        yield " has no handler: write exec or http_get"
    if len(given) > 1:
        yield f" has {' and '.join(given)}, but Kubernetes takes one handler only"
    if handler.exec is not None and not handler.exec.command:
        yield ".exec: command must be set"
    for key, port in (
        ("http_get", handler.http_get.port if handler.http_get else None),
        ("tcp_socket", handler.tcp_socket.port if handler.tcp_socket else None),
    ):
        if port is not None and not 0 < port <= _MOST_PORT:
            yield f".{key}: port must be between 1 and {_MOST_PORT}, not {port}"
    if handler.http_get is not None:
        if handler.http_get.scheme.upper() not in _SCHEMES:
            yield f'.http_get: scheme "{handler.http_get.scheme}" is neither HTTP nor HTTPS'
        if any(not header.name for header in handler.http_get.http_headers):
            yield ".http_get: every one of http_headers needs a name"
