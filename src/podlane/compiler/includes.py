"""``include``: other files merged under this one, each read, interpolated and expanded first."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from podlane.compiler import inputs
from podlane.compiler.context import Context, Fetcher, FetchError, RemoteFile
from podlane.compiler.expansion import expand
from podlane.compiler.files import Arguments, FileLoader
from podlane.compiler.findings import Entry, Findings
from podlane.compiler.keywords import rules, values
from podlane.compiler.layers import Values
from podlane.compiler.rules import Evaluator
from podlane.compiler.source import Map, Mark, Node, Seq, deep_merge, place

MAX_INCLUDES = 150
MAX_TOTAL_BYTES = 314_572_800
KINDS = ("local", "project", "remote", "template", "artifact", "component")
_KEYS = (*KINDS, "file", "ref", "job", "inputs", "rules", "integrity", "cache")
_YAML_NAME = re.compile(r".+\.(yml|yaml)\Z", re.IGNORECASE)
_URL = re.compile(r"\Ahttps?://[^\s/]+(/\S*)?\Z", re.IGNORECASE)
_COMPONENT = re.compile(r"\A([^/]+)/(.+)/([^/@]+)@(.+)\Z")


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose files ``include:local`` means: the project itself, or another one at a ref."""

    kind: str = "local"
    project: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Included:
    """A file that was read, for listings. ``name`` is how it was asked for."""

    kind: str
    name: str
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One file to include."""

    kind: str
    location: str
    entry: Map
    mark: Mark | None
    file: str = ""
    ref: str = ""

    @property
    def shown(self) -> str:
        return self.file or self.location


@dataclass(slots=True)
class Includer:
    """Reads a file and everything that it includes."""

    fetcher: Fetcher
    context: Context
    findings: Findings
    variables: Values
    evaluator: Evaluator
    loader: FileLoader
    included: list[Included] = field(default_factory=list)
    _full: bool = False

    def read_root(self, path: str) -> Map | None:
        """Return the merged configuration of the main file; None when it cannot be read."""
        content = self.fetcher.read_local(path)
        if content is None:
            self.findings.error(
                "file",
                "Missing CI config file",
                None,
                f"there is no {path} in the project; name another with --file",
            )
            return None
        loaded = self.loader.load(content, path, Arguments(self.context.inputs))
        if loaded is None:
            return None
        tree, blank = loaded
        if blank:
            self.findings.error("file", "Please provide content of .gitlab-ci.yml", None)
            return None
        return self._expand(tree, Origin(), ())

    def _expand(self, tree: Map, origin: Origin, chain: tuple[str, ...]) -> Map:
        """Return a file's content over the files it includes."""
        if "include" not in tree:
            return tree
        merged = Map(tree.at)
        for wanted in self._wanted(tree["include"], tree.value_at("include"), origin):
            if self._full:
                break
            content = self._read(wanted, origin, chain)
            if content is not None:
                merged = deep_merge(merged, content)
        return deep_merge(merged, tree.without("include"))

    def _wanted(self, value: Node, mark: Mark | None, origin: Origin) -> list[_Wanted]:
        found: list[_Wanted] = []
        for index, item in enumerate(value if isinstance(value, Seq) else [value]):
            at = value.item_at(index) if isinstance(value, Seq) else mark
            if item is None:
                continue
            if isinstance(item, str):
                entry = Map(at)
                text = expand(item, self.variables)
                entry["remote" if _URL.match(text) else "local"] = text
            elif isinstance(item, Map):
                entry = item
            else:
                self.findings.error("include", "Each include must be a hash or a string", at)
                continue
            if self._admits(Entry(self.findings, ("include",), entry, at)):
                found.extend(self._locate(entry, at, origin))
        return found

    def _admits(self, entry: Entry) -> bool:
        """Check an entry; return whether its rules let the file in."""
        value = entry.value
        assert isinstance(value, Map)
        before = len(self.findings.found)
        kinds = [kind for kind in KINDS if value.get(kind) is not None]
        if not kinds:
            shown = json.dumps(inputs.json_of(value), separators=(",", ":"), default=str)
            self.findings.error(
                "include",
                f"`{shown}` does not have a valid subkey for include. "
                f"Valid subkeys are: `{'`, `'.join(KINDS)}`",
                entry.mark,
            )
            return False
        if len(kinds) > 1:
            self.findings.error(
                "include", f"Each include must use only one of: `{'`, `'.join(KINDS)}`", entry.mark
            )
            return False
        entry.known_keys(_KEYS)
        if value.get("project") is not None and not value.get("file"):
            entry.error("must specify the file where to fetch the config from")
        _check_integrity(entry, value)
        if value.get("inputs") is not None and not isinstance(value["inputs"], Map):
            self.findings.error("include", "Given inputs must be a hash", value.value_at("inputs"))
        if value.get("rules") is not None:
            rules.check_rules(entry.child("rules"), rules.INCLUDE)
        if len(self.findings.found) > before:
            return False
        return self._rules_hold(value.get("rules"))

    def _rules_hold(self, value: Node) -> bool:
        if value is None:
            return True
        expanded = self.variables.expanded()
        match = self.evaluator.first_match(rules.listed_rules(value), self.variables, expanded)
        return match.rule is not None and match.rule.get("when") != "never"

    def _locate(self, entry: Map, mark: Mark | None, origin: Origin) -> list[_Wanted]:
        kind = next(kind for kind in KINDS if entry.get(kind) is not None)
        location = entry[kind]
        at = entry.value_at(kind) or mark
        if not isinstance(location, str):
            self.findings.error(
                "include", f"Included file `{values.shown(location)}` needs to be a string", at
            )
            return []
        if kind == "project":
            ref = entry.get("ref")
            return [
                _Wanted(
                    "project",
                    expand(location, self.variables).lower(),
                    entry,
                    at,
                    file=expand(file, self.variables).lstrip("/"),
                    ref=expand(ref, self.variables) if isinstance(ref, str) else "",
                )
                for file in values.strings(entry.get("file"))
            ]
        if kind == "local":
            return self._locate_local(location, entry, at, origin)
        return [_Wanted(kind, expand(location, self.variables), entry, at)]

    def _locate_local(
        self, location: str, entry: Map, mark: Mark | None, origin: Origin
    ) -> list[_Wanted]:
        if "*" not in location or origin.kind != "local":
            return [_Wanted("local", expand(location, self.variables).lstrip("/"), entry, mark)]
        pattern = re.escape(location.lstrip("/")).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        test = re.compile(pattern)
        known = {one.name for one in self.included if one.kind == "local"}
        names = [
            name for name in self.fetcher.list_files() if test.fullmatch(name) and name not in known
        ]
        if not names:
            self.findings.warning(
                "include", f"`{location}` matches no file", mark, "GitLab includes nothing then"
            )
        return [_Wanted("local", name, entry, mark) for name in names]

    def _read(self, wanted: _Wanted, origin: Origin, chain: tuple[str, ...]) -> Map | None:
        """Return one included file, with its own includes merged."""
        self.included.append(Included(wanted.kind, wanted.shown, wanted.mark))
        if len(self.included) > MAX_INCLUDES:
            self._full = True
            self.findings.error(
                "include", f"Maximum of {MAX_INCLUDES} nested includes are allowed!", wanted.mark,
                _cycle_hint(chain, wanted.shown),
            )  # fmt: skip
            return None
        problem = _location_problem(wanted)
        if problem:
            self.findings.error("include", problem, wanted.mark)
            return None
        fetched = self._fetch(wanted, origin)
        if fetched is None:
            return None
        content, name, inner, component = fetched
        if not content.strip():
            text = "Local file `{}` is empty!" if wanted.kind == "local" else (
                "Included file `{}` is empty or does not exist!"
            )  # fmt: skip
            self.findings.error("include", text.format(wanted.shown), wanted.mark)
            return None
        given = wanted.entry.get("inputs")
        arguments = (
            {str(k): inputs.json_of(v) for k, v in given.items()} if isinstance(given, Map) else {}
        )
        loaded = self.loader.load(
            content, name, Arguments(arguments, component, wanted.mark, f"`{wanted.shown}`: ")
        )
        if loaded is None:
            return None
        tree, blank = loaded
        if blank:
            self.findings.error(
                "include",
                f"Included file `{wanted.shown}` does not have valid YAML syntax!",
                wanted.mark,
            )
            return None
        if self.loader.total_bytes > MAX_TOTAL_BYTES:
            self._full = True
            self.findings.error(
                "include", "Total size of combined CI/CD configuration is too big", wanted.mark
            )
            return None
        return self._expand(tree, inner, (*chain, wanted.shown))

    def _fetch(
        self, wanted: _Wanted, origin: Origin
    ) -> tuple[bytes | str, str, Origin, Mapping[str, str]] | None:
        """Return the content of a file, its name, whose it is, and its component's facts."""
        if wanted.kind == "local" and origin.kind == "local":
            content = self.fetcher.read_local(wanted.location)
            if content is None:
                self.findings.error(
                    "include", f"Local file `{wanted.location}` does not exist!", wanted.mark
                )
                return None
            return content, wanted.location, origin, {}
        if wanted.kind == "component":
            return self._fetch_component(wanted)
        if wanted.kind == "local":
            if not origin.project:
                self.findings.error(
                    "include", f"Local file `{wanted.location}` does not have project!", wanted.mark
                )
                return None
            wanted = _Wanted(
                "project", origin.project, wanted.entry, wanted.mark, wanted.location, origin.ref
            )
        if wanted.kind == "project" and self._is_own(wanted.location, wanted.ref):
            content = self.fetcher.read_local(wanted.file)
            if content is not None:
                return content, wanted.file, Origin(), {}
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
        return fetched, name, Origin(wanted.kind, project, wanted.ref), {}

    def _fetch_remote(self, wanted: _Wanted) -> bytes | str | None:
        try:
            content = self.fetcher.read_remote(
                RemoteFile(
                    kind=wanted.kind, location=wanted.location, file=wanted.file, ref=wanted.ref
                )
            )
        except FetchError as error:
            self.findings.error("include", str(error), wanted.mark)
            return None
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

    def _fetch_component(
        self, wanted: _Wanted
    ) -> tuple[bytes | str, str, Origin, Mapping[str, str]] | None:
        address = _COMPONENT.match(wanted.location)
        if address is None:
            self.findings.error(
                "include", f"Component '{wanted.location}' - the component path is not supported",
                wanted.mark, "write host/group/project/name@version",
            )  # fmt: skip
            return None
        _, project, name, version = address.groups()
        facts = {"name": name, "version": version, "sha": self.context.sha, "reference": version}
        if self._is_own(project.lower(), version):
            for path in (f"templates/{name}.yml", f"templates/{name}/template.yml"):
                content = self.fetcher.read_local(path)
                if content is not None:
                    return content, path, Origin(), facts
            self.findings.error(
                "include", f"Component '{wanted.location}' - content not found", wanted.mark
            )
            return None
        fetched = self._fetch_remote(wanted)
        if fetched is None:
            return None
        return fetched, wanted.location, Origin("component", project.lower(), version), facts


def _location_problem(wanted: _Wanted) -> str | None:
    shown = wanted.shown
    if wanted.kind == "component":
        return None
    if wanted.kind == "artifact":
        return f"Included file `{shown}` can only be used in trigger:include of a child pipeline"
    if wanted.kind == "remote" and not _URL.match(wanted.location):
        return f"Remote file `{shown}` does not have a valid address!"
    if wanted.kind == "template" and not shown.endswith(".gitlab-ci.yml"):
        return f"Template file `{shown}` is not a valid location!"
    path = shown.partition("?")[0] if wanted.kind == "remote" else shown
    if not _YAML_NAME.match(path.rpartition("/")[2]):
        return f"Included file `{shown}` does not have YAML extension!"
    return None


def _check_integrity(entry: Entry, value: Map) -> None:
    integrity = value.get("integrity")
    if integrity is None:
        return
    mark = value.value_at("integrity")
    if value.get("remote") is None:
        entry.error("integrity can only be specified for remote includes", mark=mark)
    if not isinstance(integrity, str) or not integrity.startswith("sha256-"):
        entry.error("integrity hash must start with 'sha256-'", mark=mark)
        return
    try:
        base64.b64decode(integrity.removeprefix("sha256-"), validate=True)
    except binascii.Error:
        entry.error("integrity hash must be base64 encoded", mark=mark)


def _cycle_hint(chain: tuple[str, ...], name: str) -> str | None:
    if name in chain:
        return f"{name} includes itself: {' → '.join([*chain, name])}"
    return None


def place_of(one: Included) -> str:
    """Return where a file was asked for."""
    return str(place(one.mark))
