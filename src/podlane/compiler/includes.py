"""``include``: other files merged under this one, each read, interpolated and expanded first."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field

from podlane.compiler import durations, inputs, wildcards
from podlane.compiler.context import Context, Fetcher, FetchError
from podlane.compiler.expansion import expand
from podlane.compiler.fetching import (
    URL,
    FetchedFile,
    FileFinder,
    Origin,
    WantedFile,
    location_problem,
)
from podlane.compiler.files import Arguments, FileLoader
from podlane.compiler.findings import Entry, Findings
from podlane.compiler.keywords import rules, values
from podlane.compiler.layers import Values
from podlane.compiler.rules import Evaluator
from podlane.compiler.source import Map, Mark, Node, Seq, deep_merge, place

MAX_INCLUDES = 150
MAX_TOTAL_BYTES = 314_572_800
KINDS = ("local", "project", "remote", "template", "artifact", "component")
HEADER_KINDS = ("local", "project", "remote")
_KEYS = (*KINDS, "file", "ref", "job", "inputs", "rules", "integrity", "cache")
_HEADER_KEYS = (*HEADER_KINDS, "file", "ref", "integrity")
MIN_CACHE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Included:
    """A file that was read, for listings. ``name`` is how it was asked for."""

    kind: str
    name: str
    mark: Mark | None


@dataclass(slots=True)
class Includer:
    """Reads a file and everything that it includes."""

    fetcher: Fetcher
    context: Context
    findings: Findings
    variables: Values
    evaluator: Evaluator
    loader: FileLoader
    finder: FileFinder
    included: list[Included] = field(default_factory=list)
    _full: bool = False

    def read_root(self, path: str) -> Map | None:
        """Return the merged configuration of the main file; None when it cannot be read."""
        try:
            content = self.fetcher.read_local(path)
        except FetchError as error:
            self.findings.error("file", str(error), None)
            return None
        if content is None:
            self.findings.error(
                "file",
                "Missing CI config file",
                None,
                f"there is no {path} in the project; name another with --file",
            )
            return None
        given = Arguments(self.context.inputs, shared=self._shared_inputs)
        loaded = self.loader.load(content, path, given)
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

    def _shared_inputs(self, value: Node, mark: Mark | None) -> list[Map]:
        """Return what the files of ``spec:include`` define, each a map of inputs."""
        found: list[Map] = []
        for wanted in self._wanted(value, mark, Origin(), HEADER_KINDS):
            fetched = self._fetch(wanted, Origin(), ())
            if fetched is None:
                continue
            defined = self.loader.load_inputs(fetched.content, fetched.name, wanted.mark)
            if defined is not None:
                found.append(defined)
        return found

    def _wanted(
        self, value: Node, mark: Mark | None, origin: Origin, kinds: tuple[str, ...] = KINDS
    ) -> list[WantedFile]:
        found: list[WantedFile] = []
        for index, item in enumerate(value if isinstance(value, Seq) else [value]):
            at = value.item_at(index) if isinstance(value, Seq) else mark
            if item is None:
                continue
            if isinstance(item, str):
                entry = Map(at)
                text = expand(item, self._seen(origin))
                entry["remote" if URL.match(text) else "local"] = text
            elif isinstance(item, Map):
                entry = item
            else:
                self.findings.error("include", "Each include must be a hash or a string", at)
                continue
            path = ("include",) if kinds is KINDS else ("header", "spec", "include")
            if self._admits(Entry(self.findings, path, entry, at), origin, kinds):
                found.extend(self._locate(entry, at, origin))
        return found

    def _seen(self, origin: Origin) -> Values:
        """Return the variables for the includes of a file: none for one that is public."""
        return Values({}) if origin.kind in ("remote", "template") else self.variables

    def _admits(self, entry: Entry, origin: Origin, valid: tuple[str, ...]) -> bool:
        """Check an entry; return whether its rules let the file in."""
        value = entry.value
        assert isinstance(value, Map)
        before = len(self.findings.found)
        if valid is HEADER_KINDS and not entry.known_keys(_HEADER_KEYS):
            return False
        kinds = [kind for kind in valid if value.get(kind) is not None]
        if not kinds:
            shown = json.dumps(inputs.json_of(value), separators=(",", ":"), default=str)
            self.findings.error(
                "include",
                f"`{shown}` does not have a valid subkey for include. "
                f"Valid subkeys are: `{'`, `'.join(valid)}`",
                entry.mark,
            )
            return False
        if len(kinds) > 1:
            self.findings.error(
                "include", f"Each include must use only one of: `{'`, `'.join(valid)}`", entry.mark
            )
            return False
        entry.known_keys(_KEYS)
        if value.get("project") is not None and not value.get("file"):
            entry.error("must specify the file where to fetch the config from")
        _check_integrity(entry, value)
        _check_cache(entry, value)
        if value.get("inputs") is not None and not isinstance(value["inputs"], Map):
            self.findings.error("include", "Given inputs must be a hash", value.value_at("inputs"))
        if value.get("rules") is not None:
            rules.check_rules(entry.child("rules"), rules.INCLUDE)
        if len(self.findings.found) > before:
            return False
        return self._rules_hold(value.get("rules"), self._seen(origin))

    def _rules_hold(self, value: Node, seen: Values) -> bool:
        if value is None:
            return True
        match = self.evaluator.first_match(rules.listed_rules(value), seen, seen.expanded())
        return match.rule is not None and match.rule.get("when") != "never"

    def _locate(self, entry: Map, mark: Mark | None, origin: Origin) -> list[WantedFile]:
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
                WantedFile(
                    "project",
                    expand(location, self._seen(origin)).lower(),
                    entry,
                    at,
                    file=expand(file, self._seen(origin)).lstrip("/"),
                    ref=expand(ref, self._seen(origin)) if isinstance(ref, str) else "",
                )
                for file in values.strings(entry.get("file"))
            ]
        if kind == "artifact":
            job, seen = entry.get("job"), self._seen(origin)
            maker = expand(job, seen) if isinstance(job, str) else ""
            return [WantedFile(kind, expand(location, seen), entry, at, file=maker)]
        if kind == "local":
            return self._locate_local(location, entry, at, origin)
        return [WantedFile(kind, expand(location, self._seen(origin)), entry, at)]

    def _locate_local(
        self, location: str, entry: Map, mark: Mark | None, origin: Origin
    ) -> list[WantedFile]:
        if "*" not in location or origin.kind != "local":
            path = expand(location, self._seen(origin)).lstrip("/")
            return [WantedFile("local", path, entry, mark)]
        test = wildcards.matcher(location.lstrip("/"))
        known = {one.name for one in self.included if one.kind == "local"}
        names = [name for name in self.fetcher.list_files() if test(name) and name not in known]
        if not names:
            self.findings.warning(
                "include", f"`{location}` matches no file", mark, "GitLab includes nothing then"
            )
        return [WantedFile("local", name, entry, mark) for name in names]

    def _fetch(
        self, wanted: WantedFile, origin: Origin, chain: tuple[str, ...]
    ) -> FetchedFile | None:
        """Return the content of one included file; what is wrong is reported."""
        self.included.append(Included(wanted.kind, wanted.shown, wanted.mark))
        if len(self.included) > MAX_INCLUDES:
            self._full = True
            self.findings.error(
                "include", f"Maximum of {MAX_INCLUDES} nested includes are allowed!", wanted.mark,
                _cycle_hint(chain, wanted.shown),
            )  # fmt: skip
            return None
        problem = location_problem(wanted, self.context.source)
        if problem:
            self.findings.error("include", problem, wanted.mark)
            return None
        fetched = self.finder.fetch(wanted, origin)
        if fetched is not None and not fetched.content.strip():
            text = {"local": "Local file `{}` is empty!", "artifact": "File `{}` is empty!"}.get(
                wanted.kind, "Included file `{}` is empty or does not exist!"
            )
            self.findings.error("include", text.format(wanted.shown), wanted.mark)
            return None
        return fetched

    def _read(self, wanted: WantedFile, origin: Origin, chain: tuple[str, ...]) -> Map | None:
        """Return one included file, with its own includes merged."""
        fetched = self._fetch(wanted, origin, chain)
        if fetched is None:
            return None
        given = wanted.entry.get("inputs")
        arguments = (
            {str(k): inputs.json_of(v) for k, v in given.items()} if isinstance(given, Map) else {}
        )
        loaded = self.loader.load(
            fetched.content,
            fetched.name,
            Arguments(arguments, fetched.component, wanted.mark, f"`{wanted.shown}`: "),
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
        return self._expand(tree, fetched.origin, (*chain, wanted.shown))


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


def _check_cache(entry: Entry, value: Map) -> None:
    cache, mark = value.get("cache"), value.value_at("cache")
    if not cache:
        return
    if value.get("remote") is None:
        entry.error("cache can only be specified for remote includes", mark=mark)
    if cache is True:
        return
    if not isinstance(cache, str):
        entry.error("cache must be a boolean or a duration string", mark=mark)
        return
    length = durations.seconds(cache)
    if length is None:
        entry.error("cache contains an invalid duration", mark=mark)
    elif length < MIN_CACHE_SECONDS:
        entry.error("cache duration must be at least 1 minute", mark=mark)


def _cycle_hint(chain: tuple[str, ...], name: str) -> str | None:
    if name in chain:
        return f"{name} includes itself: {' → '.join([*chain, name])}"
    return None


def place_of(one: Included) -> str:
    """Return where a file was asked for."""
    return str(place(one.mark))
