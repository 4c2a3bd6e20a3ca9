from __future__ import annotations

import base64
from pathlib import Path

import pytest

from podlane.kube.access import Access, ExecPlugin, load_access
from podlane.kube.credentials import Credentials
from podlane.kube.errors import AccessError

CONFIG = """
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c
  cluster: {server: "https://example.com:6443/", certificate-authority: ca.crt}
- name: empty
  cluster: {}
users:
- {name: u, user: {token: secret-token}}
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: ./mint
      args: [a, 1]
      env: [{name: X, value: "y"}]
contexts:
- {name: one, context: {cluster: c, user: u, namespace: ci}}
- {name: two, context: {cluster: c, user: plugin}}
- {name: three, context: {cluster: nowhere, user: u}}
- {name: four, context: {cluster: empty, user: u}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_bytes(b"PEM")
    path = tmp_path / "config"
    path.write_text(CONFIG)
    return path


def test_the_current_context_is_taken(config: Path) -> None:
    access = load_access(config, environ={})
    assert access.server == "https://example.com:6443"
    assert access.namespace == "ci"
    assert access.ca_data == b"PEM"
    assert access.token == "secret-token"
    assert "secret-token" not in repr(access)


def test_the_environment_names_files_and_the_first_wins(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("current-context: two")
    environ = {"KUBECONFIG": f"{other}:{config}:{tmp_path / 'missing'}"}
    access = load_access(environ=environ)
    assert access.context == "two"
    assert access.exec_plugin == ExecPlugin(
        command=str(tmp_path / "mint"), args=("a", "1"), env=(("X", "y"),)
    )


@pytest.mark.parametrize(
    ("context", "text"),
    [
        ("none", "--context names context 'none', which does not exist"),
        ("three", "context 'three' uses cluster 'nowhere', which does not exist"),
        ("four", "cluster 'empty' has no server URL"),
    ],
)
def test_what_is_missing_is_named_with_the_file(config: Path, context: str, text: str) -> None:
    with pytest.raises(AccessError) as wrong:
        load_access(config, context, environ={})
    assert str(config) in wrong.value.message
    assert text in wrong.value.message


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a: [", "is not valid YAML"),
        ("- a", "is not a mapping"),
        ("", "has no current-context"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(AccessError) as wrong:
        load_access(path, environ={})
    assert str(path) in wrong.value.message
    assert text in wrong.value.message


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"cannot read kubeconfig .*No such file"):
        load_access(tmp_path / "nothing", environ={})


def test_nothing_configured_is_said(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="no kubeconfig found"):
        load_access(environ={"HOME": str(tmp_path)})


@pytest.fixture
def minted(config: Path) -> Access:
    """Access by a plugin; loaded here, because it reads files."""
    return load_access(config, "two", environ={})


def plugin(tmp_path: Path, script: str) -> Path:
    program = tmp_path / "mint"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.mark.anyio
async def test_a_plugin_mints_a_token_until_it_runs_out(minted: Access, tmp_path: Path) -> None:
    plugin(
        tmp_path,
        'echo x >> "$(dirname "$0")/calls"; '
        'echo \'{"status":{"token":"t1","expirationTimestamp":"1970-01-01T00:01:40Z"}}\'',
    )
    now = 0.0
    credentials = Credentials(minted, lambda: now)
    for now in (0.0, 50.0, 150.0):  # noqa: B007 - the clock reads it
        identity = await credentials.identity()
        assert identity.authorization == "Bearer t1"
    assert (tmp_path / "calls").read_text() == "x\nx\n"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo broken >&2; exit 3", "failed with exit code 3: broken"),
        ("echo hello", "did not print an ExecCredential"),
        ("echo '{}'", "printed neither a token nor a certificate"),
    ],
)
async def test_a_plugin_that_fails_is_explained(
    minted: Access, tmp_path: Path, script: str, text: str
) -> None:
    plugin(tmp_path, script)
    credentials = Credentials(minted, lambda: 0.0)
    with pytest.raises(AccessError, match=text):
        await credentials.identity()


@pytest.mark.anyio
async def test_a_missing_plugin_is_explained(minted: Access) -> None:
    credentials = Credentials(minted, lambda: 0.0)
    with pytest.raises(AccessError, match="cannot be started: No such file"):
        await credentials.identity()


def test_inline_data_must_be_base64(tmp_path: Path) -> None:
    path = tmp_path / "config"
    text = CONFIG.replace("certificate-authority: ca.crt", "certificate-authority-data: '%%'")
    path.write_text(text)
    with pytest.raises(AccessError, match="certificate-authority-data is not base64"):
        load_access(path, environ={})
    good = base64.b64encode(b"PEM").decode()
    path.write_text(text.replace("%%", good))
    assert load_access(path, environ={}).ca_data == b"PEM"
