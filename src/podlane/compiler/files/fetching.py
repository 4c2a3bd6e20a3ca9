"""Where an included file is: the project itself, another project, an address, a component."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from podlane.compiler.context import Context, Fetcher, FetchError, RemoteFile
from podlane.compiler.findings import Findings
from podlane.compiler.source import Map, Mark

PARENT_PIPELINE = "parent_pipeline"
_YAML_NAME = re.compile(r".+\.(yml|yaml)\Z", re.IGNORECASE)
URL = re.compile(r"\Ahttps?://[^\s/]+(/\S*)?\Z", re.IGNORECASE)
_COMPONENT = re.compile(r"\A([^/]+)/(.+)/([^/@]+)@(.+)\Z")
_RELEASE = re.compile(r"\Av?\d+\.\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose files ``include:local`` means: the project itself, or another one at a ref."""

    kind: str = "local"
    project: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One file to include."""

    kind: str
    location: str
    entry: Map
    mark: Mark | None
    file: str = ""
    ref: str = ""

    @property
    def shown(self) -> str:
        """How messages name it."""
        return self.location if self.kind == "artifact" else self.file or self.location


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file's content, its name for places, whose it is, and its component's facts."""

    content: bytes | str
    name: str
    origin: Origin
    component: Mapping[str, str | None]


@dataclass(slots=True)
class FileFinder:
    """Fetches included files and reports those that cannot be had."""

    fetcher: Fetcher
    context: Context
    findings: Findings
    variables: Mapping[str, str]

    def fetch(self, wanted: WantedFile, origin: Origin) -> FetchedFile | None:
        """Return a file, or report why it cannot be had."""
        try:
            return self._find(wanted, origin)
        except FetchError as error:
            self.findings.error("include", str(error), wanted.mark)
            return None

    def _find(self, wanted: WantedFile, origin: Origin) -> FetchedFile | None:
        if wanted.kind == "local" and origin.kind == "local":
            content = self.fetcher.read_local(wanted.location)
            if content is None:
                self.findings.error(
                    "include", f"Local file `{wanted.location}` does not exist!", wanted.mark
                )
                return None
            return FetchedFile(content, wanted.location, origin, {})
        if wanted.kind == "component":
            return self._fetch_component(wanted)
        if wanted.kind == "artifact":
            asked = RemoteFile(kind="artifact", location=wanted.location, file=wanted.file)
            made = self.fetcher.read_remote(asked)
            return FetchedFile(made, f"{wanted.location} of {wanted.file}", Origin(), {})
        if wanted.kind == "local":
            if not origin.project:
                self.findings.error(
                    "include", f"Local file `{wanted.location}` does not have project!", wanted.mark
                )
                return None
            wanted = WantedFile(
                "project", origin.project, wanted.entry, wanted.mark, wanted.location, origin.ref
            )
        if wanted.kind == "project" and self._is_own(wanted.location, wanted.ref):
            content = self.fetcher.read_local(wanted.file)
            if content is not None:
                return FetchedFile(content, wanted.file, Origin(), {})
            self.findings.error(
                "include",
                f"Project `{wanted.location}` file `{wanted.file}` does not exist!",
                wanted.mark,
            )
            return None
        fetched = self._fetch_remote(wanted)
        if fetched is None:
            return None
        name = (
            f"{wanted.location}@{wanted.ref or 'HEAD'}:{wanted.file}"
            if wanted.file
            else wanted.location
        )
        project = wanted.location if wanted.kind == "project" else ""
        return FetchedFile(fetched, name, Origin(wanted.kind, project, wanted.ref), {})

    def _fetch_remote(self, wanted: WantedFile) -> bytes | str | None:
        content = self.fetcher.read_remote(
            RemoteFile(kind=wanted.kind, location=wanted.location, file=wanted.file, ref=wanted.ref)
        )
        expected = wanted.entry.get("integrity")
        if isinstance(expected, str):
            raw = content.encode() if isinstance(content, str) else content
            digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
            if expected != f"sha256-{digest}":
                self.findings.error(
                    "include", f"Remote file `{wanted.location}` failed integrity check!", wanted.mark,
                    f"the file now has sha256-{digest}",
                )  # fmt: skip
                return None
        return content

    def _is_own(self, project: str, ref: str) -> bool:
        own = str(self.variables.get("CI_PROJECT_PATH", "")).lower()
        return project == own and ref in ("", "HEAD", self.context.ref, self.context.sha)

    def _fetch_component(self, wanted: WantedFile) -> FetchedFile | None:
        address = _COMPONENT.match(wanted.location)
        if address is None:
            self.findings.error(
                "include", f"Component '{wanted.location}' - the component path is not supported",
                wanted.mark, "write host/group/project/name@version",
            )  # fmt: skip
            return None
        _, project, name, version = address.groups()
        facts: dict[str, str | None] = {
            "name": name,
            "version": version if _RELEASE.match(version) else None,
            "sha": self.context.sha,
            "reference": version,
        }
        if self._is_own(project.lower(), version):
            for path in (f"templates/{name}.yml", f"templates/{name}/template.yml"):
                content = self.fetcher.read_local(path)
                if content is not None:
                    return FetchedFile(content, path, Origin(), facts)
            self.findings.error(
                "include", f"Component '{wanted.location}' - content not found", wanted.mark
            )
            return None
        fetched = self._fetch_remote(wanted)
        if fetched is None:
            return None
        return FetchedFile(
            fetched, wanted.location, Origin("component", project.lower(), version), facts
        )


def location_problem(wanted: WantedFile, source: str) -> str | None:
    """Return what is wrong with where a file should be, in GitLab's words.

    ``source`` is what starts the pipeline.
    """
    shown = wanted.shown
    if wanted.kind == "component":
        return None
    path = shown.partition("?")[0] if wanted.kind == "remote" else shown
    if not _YAML_NAME.match(path.rpartition("/")[2]):
        return f"Included file `{shown}` does not have YAML extension!"
    if wanted.kind == "artifact" and source != PARENT_PIPELINE:
        return "Including configs from artifacts is only allowed when triggering child pipelines"
    if wanted.kind == "artifact" and not wanted.file:
        return "Job must be provided when including configs from artifacts"
    if wanted.kind == "remote" and not URL.match(wanted.location):
        return f"Remote file `{shown}` does not have a valid address!"
    if wanted.kind == "template" and not shown.endswith(".gitlab-ci.yml"):
        return f"Template file `{shown}` is not a valid location!"
    return None
