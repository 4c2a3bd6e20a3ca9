"""Git settings and credentials by environment: no ``git config`` process, nothing on disk, no argv.

``GIT_CONFIG_COUNT`` (git >= 2.31) carries the settings of one process tree. Getting the sources uses
an HTTP header, which saves the refused first request; git-lfs and the job's own git get a credential
helper that reads the environment, so that other credentials still work.
"""

from __future__ import annotations

import base64
import posixpath
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from podlane.model.job import Job
from podlane.model.variables import Variables
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.scripts import ownership
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import assign

JOB_USER = "gitlab-ci-token"
_USER_VARIABLE, _PASSWORD_VARIABLE = "podlane_git_user", "podlane_git_password"
_LFS_HELPER = (
    f'!f() {{ test "$1" = get && echo "username=${_USER_VARIABLE}" '
    f'&& echo "password=${_PASSWORD_VARIABLE}"; }}; f'
)
_HELPER = (
    '!f() { test "$1" = get && echo username=gitlab-ci-token && echo "password=$CI_JOB_TOKEN"; }; f'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where the sources come from; ``url`` has no credentials in it."""

    url: str
    username: str = ""
    password: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port, or nothing for a path."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""

    @property
    def basic(self) -> str:
        """The credentials as a basic authorization; must be masked like them."""
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def remote(job: Job, runner: RunnerSettings, variables: Variables) -> Remote:
    """Return the remote of a job: ``clone_url`` of the configuration, or what GitLab says."""
    if runner.clone_url and (project := variables.get("CI_PROJECT_PATH")):
        url = f"{runner.clone_url.rstrip('/')}/{project}.git"
        return Remote(url=url, username=JOB_USER, password=job.token)
    parts = urlsplit(job.git_info.repo_url)
    if parts.scheme not in {"http", "https"} or parts.username is None:
        return Remote(url=job.git_info.repo_url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Remote(
        url=bare, username=unquote(parts.username), password=unquote(parts.password or "")
    )


def config_exports(context: ScriptContext, settings: list[tuple[str, str]]) -> list[str]:
    """Return the lines that give git ``settings``, after those that the job's variables give."""
    if not settings:
        return []
    given = context.variables.get("GIT_CONFIG_COUNT")
    first = int(given) if given.isascii() and given.isdigit() else 0
    lines = [assign("GIT_CONFIG_COUNT", str(first + len(settings)))]
    for number, (key, value) in enumerate(settings, start=first):
        lines += [
            assign(f"GIT_CONFIG_KEY_{number}", key),
            assign(f"GIT_CONFIG_VALUE_{number}", value),
        ]
    return lines


def common_settings(context: ScriptContext, origin: str) -> list[tuple[str, str]]:
    """Return what both the helper's and the job's git need: trust in the directory and in TLS."""
    settings: list[tuple[str, str]] = []
    if context.runner.safe_directory_checkout:
        settings.append(("safe.directory", context.project_dir))
    if origin:
        settings += [
            (f"http.{origin}.{key}", context.variables.get(name))
            for key, name in (
                ("sslCAInfo", "CI_SERVER_TLS_CA_FILE"),
                ("sslCert", "CI_SERVER_TLS_CERT_FILE"),
                ("sslKey", "CI_SERVER_TLS_KEY_FILE"),
            )
            if name in context.variables
        ]
    return settings


def helper_settings(context: ScriptContext, origin: str) -> list[tuple[str, str]]:
    """Return the same for the helper's git, which may meet files of the job's user."""
    # Of what a submodule's directory is called, safe.directory cannot know.
    anywhere = [("safe.directory", "*")] if ownership.is_handed_over(context) else []
    return [*common_settings(context, origin), *anywhere]


def fetch_settings(context: ScriptContext, source: Remote) -> list[tuple[str, str]]:
    """Return the settings for getting the sources."""
    settings = [
        ("init.defaultBranch", "none"),
        ("fetch.recurseSubmodules", "false"),
        ("submodule.recurse", "false"),
        ("credential.interactive", "never"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
        ("http.userAgent", f"gitlab-runner {context.version} {context.platform}"),
        *helper_settings(context, source.origin),
    ]
    settings += _headers(context, source)
    if source.origin and (id_ := gitaly_id(context)):
        header = f"X-Gitaly-Correlation-ID: {id_}"
        settings.append((f"http.{source.origin}/.extraHeader", header))
    if context.flags["FF_USE_GIT_BUNDLE_URIS"]:
        settings.append(("transfer.bundleURI", "true"))
    if context.variables.flag("GIT_SUBMODULE_FORCE_HTTPS") and source.origin:
        rule = f"url.{source.origin}/.insteadOf"
        settings += [(rule, prefix) for prefix in _ssh_prefixes(context, source)]
    return settings


def _headers(context: ScriptContext, source: Remote) -> list[tuple[str, str]]:
    """Return the settings that authorize git where the sources are.

    With ``clone_url`` that may be another host than GitLab itself, which submodules may name.
    """
    if not (source.username and source.origin):
        return []
    origins = [source.origin]
    parts = urlsplit(context.job.git_info.repo_url)
    if parts.scheme in {"http", "https"} and source.username == JOB_USER:
        origins.append(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    header = f"Authorization: Basic {source.basic}"
    return [(f"http.{origin}/.extraHeader", header) for origin in dict.fromkeys(origins)]


def lfs_exports(context: ScriptContext, source: Remote) -> list[str]:
    """Return the lines with which git-lfs uses a credential helper instead of the header.

    GitLab names the authorization of an object in its answer; with ours beside it there would be two,
    which web servers refuse.
    """
    if not (source.username and source.origin):
        return []
    settings = fetch_settings(context, source)
    helpers = {
        key: (
            key.replace("http.", "credential.", 1).replace("/.extraHeader", ".helper"),
            _LFS_HELPER,
        )
        for key, _ in _headers(context, source)
    }
    other = [helpers.get(key, (key, value)) for key, value in settings]
    known = frozenset(config_exports(context, settings))
    return [line for line in config_exports(context, other) if line not in known]


def lfs_credentials(source: Remote) -> list[str]:
    """Return the lines that give the helper of ``lfs_exports`` what it tells; before any tracing."""
    if not (source.username and source.origin):
        return []
    return [assign(_USER_VARIABLE, source.username), assign(_PASSWORD_VARIABLE, source.password)]


def gitaly_id(context: ScriptContext) -> str:
    """Return the id under which GitLab's log has what git asks for; empty where there is none."""
    return context.job.correlation_id if context.flags["FF_USE_GITALY_CORRELATION_ID"] else ""


def _ssh_prefixes(context: ScriptContext, source: Remote) -> list[str]:
    """Return how URLs of this server begin that go by SSH."""
    host = context.variables.get("CI_SERVER_SHELL_SSH_HOST") or urlsplit(source.url).hostname or ""
    port = context.variables.get("CI_SERVER_SHELL_SSH_PORT")
    with_port = [f"ssh://git@{host}:{port}/"] if port else []
    return [f"git@{host}:", f"ssh://git@{host}/", *with_port]


def job_exports(context: ScriptContext) -> list[str]:
    """Return the lines with which the job's own git works in the project directory."""
    source = remote(context.job, context.runner, context.variables)
    settings = common_settings(context, source.origin)
    if source.username == JOB_USER and source.origin and "CI_JOB_TOKEN" in context.variables:
        settings.append((f"credential.{source.origin}.helper", _HELPER))
    return config_exports(context, settings)


def inside(directory: str, base: str) -> bool:
    """Whether ``directory`` lies below ``base``, links aside."""
    path, root = posixpath.normpath(directory), posixpath.normpath(base)
    return path.startswith(root.rstrip("/") + "/")
