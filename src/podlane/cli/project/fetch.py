"""Fetch included files from a GitLab server or an address, for ``podlane includes update`` only.

A token comes from ``GITLAB_TOKEN`` or from git's credential helper, goes to the GitLab server's own host
only, and is never shown.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPMessage
from typing import IO
from urllib.parse import quote, urlsplit

from podlane.cli.project.includestore import Locked, digest_of
from podlane.compiler.context import FetchError, RemoteFile
from podlane.kit.jsonvalue import Json, items, text

_TIMEOUT_SECONDS = 30
_PAUSES = (1.0, 2.0)
_MAX_BYTES = 2_097_152
_PARTIAL = re.compile(r"\d+(\.\d+)?")
_SEMVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_COMPONENT = re.compile(r"([^/]+)/(.+)/([^/@]+)@(.+)")
_NOT_FOUND = 404


class _HttpError(Exception):
    """An answer that is no success: the code, or None when there was no answer."""

    def __init__(self, code: int | None, attempts: int, why: str = "") -> None:
        super().__init__(why)
        self.code = code
        self.attempts = attempts
        self.why = why


class _SameHostOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but takes no token to another host."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the next request."""
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            new.remove_header("Private-token")
        return new


@dataclass(slots=True)
class GitLabFetcher:
    """Fetches files; commits and versions are looked up once. ``pause`` waits between attempts."""

    gitlab_url: str
    token: str | None = None
    pause: Callable[[float], object] = field(
        default=lambda seconds: threading.Event().wait(seconds)
    )
    _shas: dict[tuple[str, str], str] = field(default_factory=dict)
    _versions: dict[tuple[str, str], str] = field(default_factory=dict)

    def fetch(self, file: RemoteFile) -> tuple[Locked, bytes]:
        """Return a file and how to lock it.

        Raises:
            FetchError: it cannot be had, in GitLab's words.
        """
        found = {
            "remote": self._remote,
            "project": self._project,
            "template": self._template,
            "component": self._component,
        }[file.kind](file)
        url, sha, content = found
        entry = Locked(
            kind=file.kind,
            location=file.location,
            file=file.file,
            ref=file.ref,
            url=url,
            sha=sha,
            digest=digest_of(content),
        )
        return entry, content

    def _remote(self, file: RemoteFile) -> tuple[str, str, bytes]:
        try:
            return file.location, "", self._get(file.location, with_token=False)
        except _HttpError as error:
            raise FetchError(_remote_sentence(file.location, error)) from error

    def _project(self, file: RemoteFile) -> tuple[str, str, bytes]:
        sha = self._sha(file.location, file.ref or "HEAD")
        url = self._file_url(file.location, file.file, sha)
        try:
            return url, sha, self._get(url)
        except _HttpError as error:
            if error.code != _NOT_FOUND:
                raise FetchError(_server_sentence(url, error)) from error
            raise FetchError(
                f"Project `{file.location}` file `{file.file}` does not exist!"
            ) from error

    def _template(self, file: RemoteFile) -> tuple[str, str, bytes]:
        key = quote(file.location.removesuffix(".gitlab-ci.yml"), safe="")
        url = f"{self.gitlab_url}/api/v4/templates/gitlab_ci_ymls/{key}"
        try:
            answer: Json = json.loads(self._get(url))
        except _HttpError as error:
            if error.code != _NOT_FOUND:
                raise FetchError(_server_sentence(url, error)) from error
            raise FetchError(
                f"Included file `{file.location}` is empty or does not exist!"
            ) from error
        except ValueError as error:
            raise FetchError(f"{url} did not answer with a template") from error
        return url, "", text(answer, "content").encode()

    def _component(self, file: RemoteFile) -> tuple[str, str, bytes]:
        address = _COMPONENT.fullmatch(file.location)
        if address is None or address[1] != urlsplit(self.gitlab_url).netloc:
            raise FetchError(
                f"Component '{file.location}' - the component path is not supported: its host is not "
                f"{urlsplit(self.gitlab_url).netloc}"
            )
        _, project, name, version = address.groups()
        ref = self._version(project, version)
        sha = self._sha(project, ref)
        for path in (f"templates/{name}.yml", f"templates/{name}/template.yml"):
            url = self._file_url(project, path, sha)
            try:
                return url, sha, self._get(url)
            except _HttpError as error:
                if error.code != _NOT_FOUND:
                    raise FetchError(_server_sentence(url, error)) from error
        raise FetchError(f"Component '{file.location}' - content not found")

    def _version(self, project: str, version: str) -> str:
        """Return the tag of ``~latest``, ``1`` or ``1.2``; other versions are refs already."""
        partial = _PARTIAL.fullmatch(version) is not None
        if not partial and version != "~latest":
            return version
        key = (project.lower(), version)
        if key not in self._versions:
            prefix = "" if version == "~latest" else version + "."
            tags = [
                tag for tag in self._releases(project) if tag.removeprefix("v").startswith(prefix)
            ]
            if not tags:
                raise FetchError(f"Component '{project}@{version}' - content not found")
            self._versions[key] = max(tags, key=_semver)
        return self._versions[key]

    def _releases(self, project: str) -> list[str]:
        url = f"{self._project_url(project)}/releases?per_page=100"
        try:
            answer: Json = json.loads(self._get(url))
        except (_HttpError, ValueError) as error:
            raise FetchError(f"the releases of {project} cannot be listed: {error}") from error
        tags = [text(release, "tag_name") for release in items(answer)]
        return [tag for tag in tags if _SEMVER.fullmatch(tag)]

    def _sha(self, project: str, ref: str) -> str:
        ref = self._versions.get((project.lower(), ref), ref)
        key = (project, ref)
        if key not in self._shas:
            url = f"{self._project_url(project)}/repository/commits/{quote(ref, safe='')}"
            try:
                answer: Json = json.loads(self._get(url))
            except _HttpError as error:
                raise FetchError(self._commit_sentence(project, ref, error)) from error
            except ValueError as error:
                raise FetchError(f"{url} did not answer with a commit") from error
            self._shas[key] = text(answer, "id")
        return self._shas[key]

    def _commit_sentence(self, project: str, ref: str, error: _HttpError) -> str:
        url = self._project_url(project)
        if error.code != _NOT_FOUND:
            return _server_sentence(url, error)
        try:
            self._get(url)
        except _HttpError:
            return (
                f"Project `{project}` not found or access denied! Make sure any includes in the "
                "pipeline configuration are correctly defined."
            )
        return f"Project `{project}` reference `{ref}` does not exist!"

    def _project_url(self, project: str) -> str:
        return f"{self.gitlab_url}/api/v4/projects/{quote(project, safe='')}"

    def _file_url(self, project: str, path: str, sha: str) -> str:
        return f"{self._project_url(project)}/repository/files/{quote(path, safe='')}/raw?ref={sha}"

    def _get(self, url: str, *, with_token: bool = True) -> bytes:
        """Return what an address answers; server errors are tried three times, others once."""
        request = urllib.request.Request(url, headers={"User-Agent": "podlane"})  # noqa: S310 - see below
        if urlsplit(url).scheme not in ("http", "https"):
            raise _HttpError(None, 0, "only http and https are fetched")
        if with_token and self.token and _is_safe(url):
            request.add_header("Private-Token", self.token)
        opener = urllib.request.build_opener(_SameHostOnly)
        problem = _HttpError(None, 0)
        for attempt, pause in enumerate((*_PAUSES, 0.0), 1):
            try:
                with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                    content: bytes = answer.read(_MAX_BYTES + 1)
                    return content
            except urllib.error.HTTPError as error:
                error.close()
                problem = _HttpError(error.code, attempt)
                if error.code < 500:  # noqa: PLR2004 - the client's fault: asking again is no use
                    raise problem from error
            except (OSError, ValueError) as error:
                problem = _HttpError(None, attempt, str(getattr(error, "reason", error)))
            if pause:
                self.pause(pause)
        raise problem


def _is_safe(url: str) -> bool:
    """Whether a token may travel to an address: encrypted, or on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


def _remote_sentence(url: str, error: _HttpError) -> str:
    times = "1 attempt" if error.attempts == 1 else f"{error.attempts} attempts"
    why = f"HTTP code `{error.code}` error!" if error.code else f"a socket error: {error.why}"
    return f"Remote file `{url}` could not be fetched after {times} because of {why}"


def _server_sentence(url: str, error: _HttpError) -> str:
    where = urlsplit(url).netloc
    if error.code in (401, 403):
        return (
            f"{where} refuses access (HTTP {error.code}); set GITLAB_TOKEN to a token that may read"
        )
    what = f"HTTP code {error.code}" if error.code else error.why
    return f"{where} could not be asked after {error.attempts} attempts: {what}"


def _semver(tag: str) -> tuple[int, ...]:
    match = _SEMVER.fullmatch(tag)
    return tuple(int(part) for part in match.groups()) if match else ()


def find_token(gitlab_url: str, environ: Mapping[str, str]) -> str | None:
    """Return the token for a server: ``GITLAB_TOKEN``, or what git's credential helper has."""
    if environ.get("GITLAB_TOKEN"):
        return environ["GITLAB_TOKEN"]
    parts = urlsplit(gitlab_url)
    question = f"protocol={parts.scheme}\nhost={parts.netloc}\n\n"
    try:
        done = subprocess.run(
            ["git", "credential", "fill"],
            input=question,
            capture_output=True,
            check=False,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            env={
                **environ,
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_ASKPASS": "true",
                "SSH_ASKPASS": "true",
            },
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    return lines.get("password") or None
