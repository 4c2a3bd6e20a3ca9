"""Who we are, as a request header or a certificate: tokens that rotate, plugins that mint them."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import anyio
import msgspec

from podlane.kube.access import Access, ExecPlugin
from podlane.kube.errors import AccessError
from podlane.kube.types import KubeStruct

_FILE_SECONDS = 60.0
_PLUGIN_DEADLINE_SECONDS = 60.0


class _CredentialStatus(KubeStruct, frozen=True, kw_only=True):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: str = ""


class _ExecCredential(KubeStruct, frozen=True, kw_only=True):
    status: _CredentialStatus = _CredentialStatus()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What proves who we are, until when (seconds since the epoch)."""

    authorization: str | None = field(default=None, repr=False)
    cert_data: bytes | None = field(default=None, repr=False)
    key_data: bytes | None = field(default=None, repr=False)
    expires: float | None = None


class Credentials:
    """Keeps the identity fresh. ``now`` is the wall clock."""

    def __init__(self, access: Access, now: Callable[[], float]) -> None:
        self._access = access
        self._now = now
        self._identity: Identity | None = None
        self._lock = anyio.Lock()

    async def identity(self) -> Identity:
        """Return the identity, made anew when it has run out.

        Raises:
            AccessError: the token file or the plugin does not give one.
        """
        current = self._identity
        if current is not None and (current.expires is None or self._now() < current.expires):
            return current
        async with self._lock:
            if self._identity is current:
                self._identity = await self._make()
            assert self._identity is not None
            return self._identity

    def refused(self) -> bool:
        """Forget an identity that the server did not accept; say whether a new one may differ."""
        self._identity = None
        return self._access.exec_plugin is not None or self._access.token_file is not None

    async def _make(self) -> Identity:
        access = self._access
        if access.exec_plugin is not None and access.token is None:
            return await _ask_plugin(access, access.exec_plugin)
        if access.token_file is not None:
            return await self._from_file(anyio.Path(access.token_file))
        authorization = f"Bearer {access.token}" if access.token else None
        if authorization is None and access.username:
            pair = f"{access.username}:{access.password}".encode()
            authorization = "Basic " + base64.b64encode(pair).decode()
        return Identity(
            authorization=authorization,
            cert_data=access.client_cert_data,
            key_data=access.client_key_data,
        )

    async def _from_file(self, path: anyio.Path) -> Identity:
        try:
            token = (await path.read_text()).strip()
        except OSError as error:
            raise AccessError(f"cannot read the token file {path}: {error.strerror}") from error
        return Identity(
            authorization=f"Bearer {token}",
            cert_data=self._access.client_cert_data,
            key_data=self._access.client_key_data,
            expires=self._now() + _FILE_SECONDS,
        )


def _request(access: Access, plugin: ExecPlugin) -> str:
    spec: dict[str, object] = {"interactive": False}
    if plugin.provide_cluster_info:
        cluster: dict[str, object] = {"server": access.server}
        if access.ca_data is not None:
            cluster["certificate-authority-data"] = base64.b64encode(access.ca_data).decode()
        spec["cluster"] = cluster
    asked = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    return msgspec.json.encode(asked).decode()


async def _ask_plugin(access: Access, plugin: ExecPlugin) -> Identity:
    environ = {
        **os.environ,
        **dict(plugin.env),
        "KUBERNETES_EXEC_INFO": _request(access, plugin),
    }
    what = f"credential plugin {plugin.command!r} of kubeconfig {access.source}"
    try:
        with anyio.fail_after(_PLUGIN_DEADLINE_SECONDS):
            result = await anyio.run_process(
                [plugin.command, *plugin.args], env=environ, check=False
            )
    except TimeoutError as error:
        raise AccessError(f"{what} did not answer in {_PLUGIN_DEADLINE_SECONDS:.0f} s") from error
    except OSError as error:
        hint = plugin.install_hint or "install it, or correct users[].user.exec.command"
        raise AccessError(f"{what} cannot be started: {error.strerror}", hint=hint) from error
    if result.returncode != 0:
        said = result.stderr.decode(errors="replace").strip()[-500:]
        raise AccessError(f"{what} failed with exit code {result.returncode}: {said}")
    try:
        status = msgspec.json.decode(result.stdout, type=_ExecCredential).status
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AccessError(f"{what} did not print an ExecCredential: {error}") from error
    if not status.token and not status.client_certificate_data:
        raise AccessError(f"{what} printed neither a token nor a certificate")
    return Identity(
        authorization=f"Bearer {status.token}" if status.token else None,
        cert_data=status.client_certificate_data.encode() or None,
        key_data=status.client_key_data.encode() or None,
        expires=_epoch(status.expiration_timestamp),
    )


def _epoch(stamp: str) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None
