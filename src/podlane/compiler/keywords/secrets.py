"""``secrets``: which secrets managers a job asks. Where they are and who logs in, variables say.

The variables are those of GitLab's documentation (``VAULT_SERVER_URL``, ``AWS_REGION``, …). The token
to log in with is the variable that ``token`` names, else the first of the job's ``id_tokens``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, text_of
from podlane.model.secrets import (
    AwsSecret,
    AwsServer,
    AzureSecret,
    AzureServer,
    GcpSecret,
    GcpServer,
    Secret,
    VaultAuth,
    VaultEngine,
    VaultSecret,
    VaultServer,
)

_GITLAB = "gitlab_secrets_manager"
_PROVIDERS = ("vault", "gcp_secret_manager", "azure_key_vault", "aws_secrets_manager", _GITLAB)
_KEYS: dict[str, tuple[str, ...]] = {
    "vault": ("engine", "path", "field"),
    "gcp_secret_manager": ("name", "version"),
    "azure_key_vault": ("name", "version"),
    "aws_secrets_manager": (
        "secret_id", "version_id", "version_stage", "field", "region", "role_arn", "role_session_name",
    ),
    _GITLAB: ("name", "source"),
}  # fmt: skip
_REQUIRED = {
    "vault": ("path", "field"),
    "gcp_secret_manager": ("name",),
    "azure_key_vault": ("name",),
    "aws_secrets_manager": ("secret_id",),
    _GITLAB: ("name",),
}
_SHORT_FORMS = ("vault", "aws_secrets_manager")


def check_secrets(entry: Entry) -> None:
    """Check ``secrets``: names with exactly one provider each."""
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash")
        return
    for key in value:
        secret = entry.child(text_of(key))
        if not isinstance(secret.value, Map):
            secret.error("should be a hash")
        elif secret.known_keys((*_PROVIDERS, "file", "token")):
            _check_secret(secret, secret.value)


def _check_secret(entry: Entry, secret: Map) -> None:
    named = [provider for provider in _PROVIDERS if provider in secret]
    if len(named) != 1:
        entry.error(f"must use exactly one of these keys: {', '.join(_PROVIDERS)}")
        return
    values.boolean(entry, "file")
    values.string(entry, "token")
    child = entry.child(named[0])
    if isinstance(child.value, str) and named[0] in _SHORT_FORMS:
        pass
    elif not isinstance(child.value, Map):
        short = " or a string" if named[0] in _SHORT_FORMS else ""
        child.error(f"should be a hash{short}")
    elif child.known_keys(_KEYS[named[0]]):
        for key in _REQUIRED[named[0]]:
            if child.value.get(key) in (None, ""):
                child.error("can't be blank", attribute=values.attribute(key))
    if named[0] == _GITLAB:
        child.refuse("only a GitLab server can do it")


def without_login(job: Map) -> list[str]:
    """Return the secrets of a checked job for which there is no token to log in with."""
    found = job.get("secrets")
    if not isinstance(found, Map) or job.get("id_tokens"):
        return []
    return [
        text_of(key)
        for key, secret in found.items()
        if isinstance(secret, Map) and secret.get("token") is None and _GITLAB not in secret
    ]


def lower_secrets(
    value: Node, variables: Mapping[str, str], id_tokens: Sequence[str] = ()
) -> dict[str, Secret]:
    """Return checked ``secrets`` as the model's; servers come from variables.

    ``id_tokens`` are the names of the job's own tokens; without ``token`` the first one is used.
    """
    usual = f"${id_tokens[0]}" if id_tokens else ""
    found: dict[str, Secret] = {}
    for key, item in value.items() if isinstance(value, Map) else ():
        if isinstance(item, Map):
            token = item.get("token")
            secret = _secret(item, token if isinstance(token, str) else usual, variables)
            if secret is not None:
                found[text_of(key)] = secret
    return found


def _secret(item: Map, jwt: str, variables: Mapping[str, str]) -> Secret | None:
    file = item.get("file")
    kept = file if isinstance(file, bool) else None
    if "vault" in item:
        return Secret(vault=_vault(item["vault"], jwt, variables), file=kept)
    if "azure_key_vault" in item:
        return Secret(
            azure_key_vault=_azure(_map(item["azure_key_vault"]), jwt, variables), file=kept
        )
    if "gcp_secret_manager" in item:
        return Secret(
            gcp_secret_manager=_gcp(_map(item["gcp_secret_manager"]), jwt, variables), file=kept
        )
    if "aws_secrets_manager" in item:
        return Secret(
            aws_secrets_manager=_aws(item["aws_secrets_manager"], jwt, variables), file=kept
        )
    return None


def _vault(value: Node, jwt: str, variables: Mapping[str, str]) -> VaultSecret:
    data = {"jwt": jwt}
    if variables.get("VAULT_AUTH_ROLE"):
        data["role"] = variables["VAULT_AUTH_ROLE"]
    server = VaultServer(
        url=variables.get("VAULT_SERVER_URL", ""),
        namespace=variables.get("VAULT_NAMESPACE", ""),
        auth=VaultAuth(name="jwt", path=variables.get("VAULT_AUTH_PATH") or "jwt", data=data),
    )
    if isinstance(value, str):  # path/field, or path/field@engine
        place, _, engine = value.partition("@")
        path, _, field = place.rpartition("/")
        return VaultSecret(
            server=server,
            engine=VaultEngine(name="kv-v2", path=engine or "kv-v2"),
            path=path,
            field=field,
        )
    found = _map(value)
    mounted = _map(found.get("engine"))
    return VaultSecret(
        server=server,
        engine=VaultEngine(
            name=_text(mounted, "name") or "kv-v2", path=_text(mounted, "path") or "kv-v2"
        ),
        path=_text(found, "path"),
        field=_text(found, "field"),
    )


def _azure(found: Map, jwt: str, variables: Mapping[str, str]) -> AzureSecret:
    return AzureSecret(
        name=_text(found, "name"),
        version=_text(found, "version"),
        server=AzureServer(
            client_id=variables.get("AZURE_CLIENT_ID", ""),
            tenant_id=variables.get("AZURE_TENANT_ID", ""),
            url=variables.get("AZURE_KEY_VAULT_SERVER_URL", ""),
            jwt=jwt,
        ),
    )


def _gcp(found: Map, jwt: str, variables: Mapping[str, str]) -> GcpSecret:
    federation = "GCP_WORKLOAD_IDENTITY_FEDERATION"
    return GcpSecret(
        name=_text(found, "name"),
        version=_text(found, "version"),
        server=GcpServer(
            project_number=variables.get("GCP_PROJECT_NUMBER", ""),
            workload_identity_federation_pool_id=variables.get(f"{federation}_POOL_ID", ""),
            workload_identity_federation_provider_id=variables.get(f"{federation}_PROVIDER_ID", ""),
            jwt=jwt,
        ),
    )


def _aws(value: Node, jwt: str, variables: Mapping[str, str]) -> AwsSecret:
    server = AwsServer(
        region=variables.get("AWS_REGION", ""),
        role_arn=variables.get("AWS_ROLE_ARN", ""),
        role_session_name=variables.get("AWS_ROLE_SESSION_NAME", ""),
        jwt=jwt,
    )
    if isinstance(value, str):  # id, or id#field
        name, _, field = value.partition("#")
        return AwsSecret(secret_id=name, field=field, server=server)
    found = _map(value)
    return AwsSecret(
        secret_id=_text(found, "secret_id"),
        version_id=_text(found, "version_id"),
        version_stage=_text(found, "version_stage"),
        field=_text(found, "field"),
        region=_text(found, "region"),
        role_arn=_text(found, "role_arn"),
        role_session_name=_text(found, "role_session_name"),
        server=server,
    )


def _map(value: Node) -> Map:
    return value if isinstance(value, Map) else Map()


def _text(found: Map, key: str) -> str:
    value = values.scalar(found.get(key))
    return "" if value is None else text_of(value)
