"""Secrets become what the runner is handed: servers from variables, short forms written out."""

from __future__ import annotations

from collections.abc import Mapping

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context
from podlane.model.secrets import Secret
from tests.fakes.files import MemoryFetcher

VARIABLES = """\
variables:
  VAULT_SERVER_URL: https://vault
  VAULT_AUTH_ROLE: ci
  AWS_REGION: eu
  AWS_ROLE_ARN: arn
  AZURE_KEY_VAULT_SERVER_URL: https://azure
  AZURE_CLIENT_ID: client
  AZURE_TENANT_ID: tenant
  GCP_PROJECT_NUMBER: '7'
  GCP_WORKLOAD_IDENTITY_FEDERATION_POOL_ID: pool
  GCP_WORKLOAD_IDENTITY_FEDERATION_PROVIDER_ID: provider
"""


def secrets(text: str) -> Mapping[str, Secret]:
    text = f"{VARIABLES}x:\n  script: echo\n  secrets:\n    S: {{{text}, token: $T}}\n"
    result = compile_pipeline("f", MemoryFetcher({"f": text}), Context())
    assert result.pipeline is not None, result.diagnostics
    return result.pipeline.jobs[0].secrets


def test_the_short_form_of_vault() -> None:
    # GitLab's documentation: ops/data/production/db, field password
    vault = secrets("vault: production/db/password@ops, file: false")["S"].vault
    assert vault is not None
    assert (vault.engine.name, vault.engine.path) == ("kv-v2", "ops")
    assert (vault.path, vault.field) == ("production/db", "password")
    assert vault.server.url == "https://vault"
    assert vault.server.auth.path == "jwt"
    assert vault.server.auth.data == {"jwt": "$T", "role": "ci"}


def test_the_short_form_without_an_engine() -> None:
    vault = secrets("vault: production/db/password")["S"].vault
    assert vault is not None
    assert vault.engine.path == "kv-v2"


def test_the_long_form_of_vault() -> None:
    secret = secrets("vault: {engine: {name: kv-v1, path: ops}, path: p, field: f}, file: false")[
        "S"
    ]
    assert secret.vault is not None
    assert (secret.vault.engine.name, secret.vault.path, secret.vault.field) == ("kv-v1", "p", "f")
    assert secret.file is False


def test_the_other_managers() -> None:
    azure = secrets("azure_key_vault: {name: n, version: v}")["S"].azure_key_vault
    assert azure is not None
    assert (azure.name, azure.server.url, azure.server.jwt) == ("n", "https://azure", "$T")
    gcp = secrets("gcp_secret_manager: {name: n, version: 2}")["S"].gcp_secret_manager
    assert gcp is not None
    assert (gcp.version, gcp.server.project_number) == ("2", "7")
    aws = secrets("aws_secrets_manager: 'app/db#password'")["S"].aws_secrets_manager
    assert aws is not None
    assert (aws.secret_id, aws.field, aws.server.region) == ("app/db", "password", "eu")


def test_the_short_form_of_vault_ends_at_the_last_at_sign() -> None:
    vault = secrets("vault: a@b/c@ops")["S"].vault
    assert vault is not None
    assert (vault.path, vault.field, vault.engine.path) == ("a@b", "c", "ops")


def test_google_s_newest_version_is_the_default() -> None:
    gcp = secrets("gcp_secret_manager: {name: n}")["S"].gcp_secret_manager
    assert gcp is not None
    assert gcp.version == "latest"


def without_token(tokens: str, secret: str) -> tuple[Secret, list[str]]:
    ids = "".join(f"{name}: {{aud: a}}, " for name in tokens.split())
    text = f"x:\n  script: echo\n  id_tokens: {{{ids}}}\n  secrets: {{S: {{{secret}}}}}\n"
    result = compile_pipeline("f", MemoryFetcher({"f": text}), Context())
    assert result.pipeline is not None, result.diagnostics
    return result.pipeline.jobs[0].secrets["S"], [one.message for one in result.run_refusals]


def test_without_a_token_of_its_own_a_secret_takes_the_first_id_token() -> None:
    # GitLab's Ci::Secrets::Integration: id_tokens.each_key.first
    secret, refused = without_token("ONE TWO", "vault: a/b@c")
    assert secret.vault is not None
    assert secret.vault.server.auth.data["jwt"] == "$ONE"
    assert refused == []


def test_aws_takes_the_id_token_of_its_name() -> None:
    secret, refused = without_token("ONE AWS_ID_TOKEN", "aws_secrets_manager: id")
    assert secret.aws_secrets_manager is not None
    assert secret.aws_secrets_manager.server is not None
    assert secret.aws_secrets_manager.server.jwt == "$AWS_ID_TOKEN"
    assert refused == []
    _, refused = without_token("ONE", "aws_secrets_manager: id")
    (message,) = refused
    assert message == (
        "`jobs:x:secrets:S` cannot be read: no token is named to log in with, and the job has no ID "
        "token for it"
    )
