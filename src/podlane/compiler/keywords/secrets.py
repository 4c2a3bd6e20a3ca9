"""``secrets``: which secrets managers a job asks. Where they are and who logs in, variables say.

The variables are those of GitLab's documentation (``VAULT_SERVER_URL``, ``AWS_REGION``, …). The token
to log in with is the variable that ``token`` names, else the first of the job's ``id_tokens``; for AWS
the one of the name ``AWS_ID_TOKEN``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

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
_PROVIDERS = (
    "vault", "azure_key_vault", "gcp_secret_manager", "akeyless", _GITLAB, "aws_secrets_manager",
)  # fmt: skip
_AWS, _AWS_TOKEN = "aws_secrets_manager", "AWS_ID_TOKEN"
_AWS_KEYS = (
    "secret_id", "region", "version_id", "version_stage", "role_arn", "role_session_name", "field",
)  # fmt: skip
_AKEYLESS_KEYS = (
    "name", "data_key", "cert_user_name", "public_key_data", "csr_data", "akeyless_api_url",
    "akeyless_access_type", "akeyless_token", "uid_token", "gcp_audience", "azure_object_id",
    "k8s_service_account_token", "k8s_auth_config_name", "akeyless_access_key", "gateway_ca_certificate",
)  # fmt: skip
_SOURCE = re.compile(r"(?:project|group/[a-zA-Z0-9_\-./]+)\Z")


def check_secrets(entry: Entry) -> None:
    """Check ``secrets``: names with exactly one provider each."""
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash")
        return
    for key, item in value.items():
        secret = entry.child(text_of(key))
        secret.value = Map(secret.mark) if item is None else item
        _check_secret(secret)


def _check_secret(entry: Entry) -> None:
    entry.is_hash()
    entry.known_keys((*_PROVIDERS, "file", "token"))
    values.exactly_one(entry, _PROVIDERS)
    values.string(entry, "token")
    if not values.is_blank(entry.child("gcp_secret_manager").value) and values.is_blank(
        entry.child("token").value
    ):
        entry.error(
            "is required with gcp secrets manager",
            attribute="token",
            hint="name the variable: token: $GCP_ID_TOKEN",
        )
    if not entry.absent("file"):
        values.own_boolean(entry.child("file"))
    for name, check in _CHECKS.items():
        if not entry.absent(name):
            check(entry.child(name))


def _check_vault(entry: Entry) -> None:
    if _is_short(entry):
        return
    entry.known_keys(("engine", "path", "field"))
    values.required_string(entry, "path")
    values.required_string(entry, "field")
    values.present(entry, "engine", "name its kind and its path: {name: kv-v2, path: secret}")
    engine = entry.child("engine")
    if not isinstance(engine.value, Map):
        entry.error("should be a hash", attribute="engine", mark=engine.mark)
        return
    engine.known_keys(("name", "path"))
    missing = [key for key in ("name", "path") if key not in engine.value]
    if missing:
        engine.error(f"missing required keys: {', '.join(missing)}")
    values.required_string(engine, "name")
    values.required_string(engine, "path")


def _check_aws(entry: Entry) -> None:
    if isinstance(entry.value, str) and entry.value.count("#") > 1:
        entry.error("must contain at most one '#'")
    if not _is_short(entry):
        entry.known_keys(_AWS_KEYS)
        values.required_string(entry, "secret_id")
        for key in _AWS_KEYS[1:]:
            values.string(entry, key)


def _is_short(entry: Entry) -> bool:
    """Check a provider that takes one text, too; return whether there is nothing else to check."""
    if values.is_string(entry.value):
        if values.is_blank(entry.value):
            entry.error("can't be blank")
    elif not isinstance(entry.value, Map):
        entry.error("should be a hash or a string", attribute="")
    return not isinstance(entry.value, Map)


def _check_named(entry: Entry) -> None:
    entry.is_hash()
    entry.known_keys(("name", "version"))
    values.required_string(entry, "name")


def _check_azure(entry: Entry) -> None:
    _check_named(entry)
    values.string(entry, "version")


def _check_gcp(entry: Entry) -> None:
    _check_named(entry)
    version = entry.child("version")
    if version.value is not None and not (
        isinstance(version.value, str) or type(version.value) is int
    ):
        entry.error("must be an alphanumeric string", attribute="version", mark=version.mark)


def _check_akeyless(entry: Entry) -> None:
    entry.is_hash()
    entry.known_keys(_AKEYLESS_KEYS)
    for key in _AKEYLESS_KEYS:
        values.string(entry, key)
    entry.refuse("GitLab Runner has no client for it")


def _check_gitlab(entry: Entry) -> None:
    entry.is_hash()
    entry.known_keys(("name", "source"))
    values.required_string(entry, "name")
    values.string(entry, "source")
    source = entry.child("source")
    if source.value is not None and not _SOURCE.match(values.inspected(source.value)):
        entry.error(
            "must follow the format group/group_full_path or 'project'",
            attribute="source",
            mark=source.mark,
        )
    entry.refuse("only a GitLab server can do it")


_CHECKS: dict[str, Callable[[Entry], None]] = {
    "vault": _check_vault,
    "azure_key_vault": _check_azure,
    "gcp_secret_manager": _check_gcp,
    "akeyless": _check_akeyless,
    _GITLAB: _check_gitlab,
    "aws_secrets_manager": _check_aws,
}


def without_login(job: Map) -> list[str]:
    """Return the secrets of a checked job for which there is no token to log in with."""
    found, tokens = job.get("secrets"), job.get("id_tokens")
    names = list(tokens) if isinstance(tokens, Map) else []
    return [
        text_of(key)
        for key, secret in (found.items() if isinstance(found, Map) else ())
        if isinstance(secret, Map)
        and secret.get("token") is None
        and not {_GITLAB, "akeyless"} & secret.keys()
        and (not names or (_AWS in secret and _AWS_TOKEN not in names))
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
            aws_secrets_manager=_aws(item[_AWS], _aws_token(item, jwt), variables), file=kept
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
        place, at, engine = value.rpartition("@")
        path, _, field = (place if at else value).rpartition("/")
        return VaultSecret(
            server=server,
            engine=VaultEngine(name="kv-v2", path=engine if at else "kv-v2"),
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
        version=_text(found, "version") or "latest",
        server=GcpServer(
            project_number=variables.get("GCP_PROJECT_NUMBER", ""),
            workload_identity_federation_pool_id=variables.get(f"{federation}_POOL_ID", ""),
            workload_identity_federation_provider_id=variables.get(f"{federation}_PROVIDER_ID", ""),
            jwt=jwt,
        ),
    )


def _aws_token(item: Map, jwt: str) -> str:
    """Return the token for AWS, which GitLab looks for under a name of its own."""
    return jwt if item.get("token") is not None else f"${_AWS_TOKEN}"


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
