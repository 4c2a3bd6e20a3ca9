"""``secrets`` of a job: where a secret is kept and who may read it (GitLab Runner's ``common/spec``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from podlane.model.frozen import Frozen

Scalar: TypeAlias = str | int | float | bool | None


class VaultAuth(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """How to log in: ``auth/<path>/login`` with ``data`` (for ``jwt``: ``jwt`` and ``role``)."""

    name: str = ""
    path: str = ""
    data: Mapping[str, Scalar] = {}


class VaultServer(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A HashiCorp Vault."""

    url: str = ""
    namespace: str = ""
    auth: VaultAuth = VaultAuth()


class VaultEngine(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A secrets engine: ``kv-v1``, ``kv-v2`` or ``generic``, mounted at ``path``."""

    name: str = ""
    path: str = ""


class VaultSecret(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One field of a secret in Vault."""

    server: VaultServer = VaultServer()
    engine: VaultEngine = VaultEngine()
    path: str = ""
    field: str = ""


class InlineAuth(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """OpenBao's login within the request; ``path`` is the whole login path."""

    path: str = ""
    jwt: str = ""
    role: str = ""
    auth_mount: str = ""


class OpenBaoServer(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """GitLab's own OpenBao."""

    url: str = ""
    namespace: str = ""
    inline_auth: InlineAuth = InlineAuth()


class GitlabSecret(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One field of a secret in GitLab's secrets manager."""

    server: OpenBaoServer = OpenBaoServer()
    engine: VaultEngine = VaultEngine()
    path: str = ""
    field: str = ""


class AzureServer(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """An Azure Key Vault (``url``) and the application that may read it."""

    client_id: str = ""
    tenant_id: str = ""
    jwt: str = ""
    url: str = ""


class AzureSecret(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A secret in an Azure Key Vault; no ``version`` means the newest."""

    name: str = ""
    version: str = ""
    server: AzureServer = AzureServer()


class GcpServer(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A project of Google Cloud with workload identity federation."""

    project_number: str = ""
    workload_identity_federation_pool_id: str = ""
    workload_identity_federation_provider_id: str = ""
    jwt: str = ""


class GcpSecret(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A secret in Google's Secret Manager; no ``version`` means ``latest``."""

    name: str = ""
    version: str = ""
    server: GcpServer = GcpServer()


class AwsServer(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A region of AWS and the role that ``jwt`` may assume."""

    region: str = ""
    jwt: str = ""
    role_arn: str = ""
    role_session_name: str = ""


class AwsSecret(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A secret in AWS Secrets Manager, or one ``field`` of its JSON; own values win."""

    secret_id: str = ""
    version_id: str = ""
    version_stage: str = ""
    field: str = ""
    region: str = ""
    role_arn: str = ""
    role_session_name: str = ""
    server: AwsServer = AwsServer()


class Secret(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of ``secrets``: exactly one provider. ``file`` None means true."""

    vault: VaultSecret | None = None
    gitlab_secrets_manager: GitlabSecret | None = None
    azure_key_vault: AzureSecret | None = None
    gcp_secret_manager: GcpSecret | None = None
    aws_secrets_manager: AwsSecret | None = None
    file: bool | None = None
