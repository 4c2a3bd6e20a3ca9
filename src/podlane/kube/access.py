"""How to reach a cluster, read from a kubeconfig or from the service account of the pod we are in.

The order is kubectl's: the file asked for, ``KUBECONFIG`` (several files: the first to name a thing
wins), ``~/.kube/config``, the pod's service account.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from podlane.kit.jsonvalue import Json, JsonObject, flag, items, obj, objects, text
from podlane.kube.errors import AccessError

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlugin:
    """A program that prints credentials (client.authentication.k8s.io v1 and v1beta1)."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    install_hint: str = ""
    provide_cluster_info: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A server, whom to trust and who we are. ``source`` is for messages."""

    server: str
    namespace: str = "default"
    context: str = ""
    source: str = ""
    ca_data: bytes | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False
    proxy_url: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    client_cert_data: bytes | None = field(default=None, repr=False)
    client_key_data: bytes | None = field(default=None, repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    exec_plugin: ExecPlugin | None = field(default=None, repr=False)


def with_token(access: Access, token: str) -> Access:
    """Return how somebody else reaches the same server: with this token and nothing of ours."""
    return replace(
        access,
        token=token,
        token_file=None,
        client_cert_data=None,
        client_key_data=None,
        username="",
        password="",
        exec_plugin=None,
    )


def load_access(
    kubeconfig: Path | None = None,
    context: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Access:
    """Find out how to reach the cluster. Reads files; call it in a thread when a loop runs.

    Raises:
        AccessError: there is no configuration, or it cannot be used: which file, and why.
    """
    environ = os.environ if environ is None else environ
    paths = [kubeconfig] if kubeconfig is not None else _default_paths(environ)
    if kubeconfig is None:
        paths = [path for path in paths if path.is_file()]
    if not paths:
        if context is None and environ.get("KUBERNETES_SERVICE_HOST"):
            return _in_cluster(environ)
        raise AccessError(
            "no kubeconfig found: KUBECONFIG names no file and ~/.kube/config does not exist",
            hint="name one with --kubeconfig or KUBECONFIG",
        )
    return _from_files([(path, _read(path)) for path in paths], context)


def _default_paths(environ: Mapping[str, str]) -> list[Path]:
    listed = [entry for entry in environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
    home = environ.get("HOME") or str(Path.home())
    return [Path(entry) for entry in listed] or [Path(home, ".kube", "config")]


def _read(path: Path) -> JsonObject:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AccessError(f"cannot read kubeconfig {path}: {error.strerror}") from error
    try:
        data: Json = yaml.load(raw, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise AccessError(f"kubeconfig {path}{where} is not valid YAML: {problem}") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise AccessError(f"kubeconfig {path} is not a mapping")
    return data


_Files = list[tuple[Path, JsonObject]]


def _find(files: _Files, section: str, name: str, wanted_by: str) -> tuple[Path, JsonObject]:
    for path, data in files:
        for entry in objects(data, section):
            if text(entry, "name") == name:
                return path, obj(entry, section[:-1])
    known = [text(e, "name") for _, data in files for e in objects(data, section)]
    raise AccessError(
        f"kubeconfig {_names(files)}: {wanted_by} {section[:-1]} {name!r}, which does not exist",
        hint=f"known {section}: {', '.join(known) or 'none'}",
    )


def _names(files: _Files) -> str:
    return ", ".join(str(path) for path, _ in files)


def _from_files(files: _Files, context: str | None) -> Access:
    current = next((n for _, d in files if (n := text(d, "current-context"))), "")
    name = context or current
    if not name:
        raise AccessError(
            f"kubeconfig {_names(files)} has no current-context",
            hint="choose one with --context or `kubectl config use-context`",
        )
    path, chosen = _find(files, "contexts", name, "--context names" if context else "it uses")
    cluster_path, cluster = _find(
        files, "clusters", text(chosen, "cluster"), f"context {name!r} uses"
    )
    server = text(cluster, "server").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise AccessError(
            f"kubeconfig {cluster_path}: cluster {text(chosen, 'cluster')!r} has no server URL"
        )
    access = Access(
        server=server,
        namespace=text(chosen, "namespace") or "default",
        context=name,
        source=str(path),
        ca_data=_data(cluster_path, cluster, "certificate-authority"),
        tls_server_name=text(cluster, "tls-server-name") or None,
        insecure_skip_tls_verify=flag(cluster, "insecure-skip-tls-verify") or False,
        proxy_url=text(cluster, "proxy-url") or None,
    )
    if not text(chosen, "user"):
        return access
    user_path, user = _find(files, "users", text(chosen, "user"), f"context {name!r} uses")
    return _with_user(access, user_path, user)


def _with_user(access: Access, path: Path, user: JsonObject) -> Access:
    if "auth-provider" in user:
        raise AccessError(
            f"kubeconfig {path}: auth-provider is no longer supported by Kubernetes clients",
            hint="use the exec plugin of your cloud (users[].user.exec)",
        )
    token_file = text(user, "tokenFile")
    return replace(
        access,
        token=text(user, "token") or None,
        token_file=_relative(path, token_file) if token_file else None,
        client_cert_data=_data(path, user, "client-certificate"),
        client_key_data=_data(path, user, "client-key"),
        username=text(user, "username"),
        password=text(user, "password"),
        exec_plugin=_plugin(path, obj(user, "exec")),
    )


def _plugin(path: Path, table: JsonObject) -> ExecPlugin | None:
    if not table:
        return None
    command = text(table, "command")
    if not command:
        raise AccessError(f"kubeconfig {path}: users[].user.exec has no command")
    if "/" in command:
        command = str(_relative(path, command))
    return ExecPlugin(
        command=command,
        args=tuple(str(arg) for arg in items(table, "args")),
        env=tuple((text(e, "name"), text(e, "value")) for e in objects(table, "env")),
        api_version=text(table, "apiVersion") or "client.authentication.k8s.io/v1",
        install_hint=text(table, "installHint"),
        provide_cluster_info=flag(table, "provideClusterInfo") or False,
    )


def _relative(path: Path, named: str) -> Path:
    """Return a file named in a kubeconfig: relative to the kubeconfig."""
    return path.parent / named


def _data(path: Path, table: JsonObject, key: str) -> bytes | None:
    """Return ``key-data`` decoded, or the content of the file that ``key`` names."""
    if encoded := text(table, f"{key}-data"):
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise AccessError(f"kubeconfig {path}: {key}-data is not base64") from error
    if not (named := text(table, key)):
        return None
    try:
        return _relative(path, named).read_bytes()
    except OSError as error:
        raise AccessError(
            f"kubeconfig {path}: cannot read {key} {named}: {error.strerror}"
        ) from error


def _in_cluster(environ: Mapping[str, str]) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        ca_data = (_SERVICE_ACCOUNT / "ca.crt").read_bytes()
        (_SERVICE_ACCOUNT / "token").read_bytes()
        namespace = (_SERVICE_ACCOUNT / "namespace").read_text().strip()
    except OSError as error:
        raise AccessError(
            f"this is a pod, but its service account is not mounted: {error}",
            hint="set automountServiceAccountToken: true, or give a kubeconfig",
        ) from error
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=namespace or "default",
        context="in-cluster",
        source=str(_SERVICE_ACCOUNT),
        ca_data=ca_data,
        token_file=_SERVICE_ACCOUNT / "token",
    )
