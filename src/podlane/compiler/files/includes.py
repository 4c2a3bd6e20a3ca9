"""``include``: other files merged under this one, each read, interpolated and expanded first."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial

from podlane.compiler.context import Context, Fetcher, FetchError
from podlane.compiler.files import wildcards
from podlane.compiler.files.fetching import (
    URL,
    FetchedFile,
    FileFinder,
    Origin,
    WantedFile,
    location_problem,
)
from podlane.compiler.files.loader import Arguments, FileLoader
from podlane.compiler.findings import Entry, Findings
from podlane.compiler.keywords import inputs, rules, values
from podlane.compiler.keywords.include import (
    HEADER_KINDS,
    KINDS,
    check_include_rules,
    check_left,
    check_remote,
    warn_ignored,
)
from podlane.compiler.selection.rules import Evaluator
from podlane.compiler.source import (
    Map,
    Mark,
    Node,
    Reference,
    Seq,
    deep_merge,
    is_blank,
    place,
    text_of,
)
from podlane.compiler.variables.expansion import expand
from podlane.compiler.variables.layers import Values
from podlane.kit.diagnostics import has_errors

MAX_INCLUDES = 150
MAX_TOTAL_BYTES = 314_572_800


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
        if not content.strip():
            self.findings.error("file", "Please provide content of .gitlab-ci.yml", None)
            return None
        given = Arguments(self.context.inputs, shared=partial(self._shared_inputs, Origin()))
        loaded = self.loader.load(content, path, given)
        if loaded is None:
            return None
        return self._expand(loaded[0], Origin(), ())

    def _expand(self, tree: Map, origin: Origin, chain: tuple[str, ...]) -> Map:
        """Return a file's content over the files it includes."""
        if "include" not in tree:
            return tree
        merged = Map(tree.at)
        before = len(self.findings.found)
        found = self._wanted(tree["include"], tree.value_at("include"), origin)
        if not found and not chain and not has_errors(self.findings.found[before:]):
            at = tree.value_at("include")
            check_left(Entry(self.findings, ("include",), tree["include"], at))
            return tree  # as GitLab shows it
        for wanted in self._announced(found, chain):
            if self._full:
                break
            content = self._read(wanted, origin, chain)
            if content is not None:
                merged = deep_merge(merged, content)
        return deep_merge(merged, tree.without("include"))

    def _announced(self, found: list[WantedFile], chain: tuple[str, ...]) -> list[WantedFile]:
        """Note the files of one ``include``, before any of them is read, as far as the limit goes."""
        for index, wanted in enumerate(found):
            self.included.append(Included(wanted.kind, wanted.shown, wanted.mark))
            if len(self.included) > MAX_INCLUDES:
                self._full = True
                self.findings.error(
                    "include", f"Maximum of {MAX_INCLUDES} nested includes are allowed!",
                    wanted.mark, _cycle_hint(chain, wanted.shown),
                )  # fmt: skip
                return found[:index]
        return found

    def _shared_inputs(self, origin: Origin, value: Node, mark: Mark | None) -> list[Map]:
        """Return what the files of ``spec:include`` define, each a map of inputs."""
        found: list[Map] = []
        for wanted in self._announced(self._wanted(value, mark, origin, HEADER_KINDS), ()):
            fetched = self._fetch(wanted, origin)
            if fetched is None:
                continue
            prefix = f"`{wanted.shown}`: "
            shared = partial(self._shared_inputs, origin)
            given = Arguments(mark=wanted.mark, prefix=prefix, shared=shared)
            defined = self.loader.load_inputs(fetched.content, fetched.name, given)
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
            if self._admits(Entry(self.findings, ("include",), entry, at), origin, kinds):
                found.extend(self._locate(entry, at, origin))
        return found

    def _seen(self, origin: Origin) -> Values:
        """Return the variables for the includes of a file: none for one that is public."""
        return Values({}) if origin.kind in ("remote", "template") else self.variables

    def _admits(self, entry: Entry, origin: Origin, valid: tuple[str, ...]) -> bool:
        """Check an entry; return whether its rules let the file in."""
        value = entry.value
        assert isinstance(value, Map)
        if not self._rules_hold(entry, self._seen(origin)):
            return False
        kinds = [kind for kind in valid if not is_blank(value.get(kind))]
        if not kinds:
            shown = json.dumps(inputs.json_of(value), separators=(",", ":"), default=str)
            what = "header include" if valid is HEADER_KINDS else "include"
            self.findings.error(
                "include",
                f"`{shown}` does not have a valid subkey for {what}. "
                f"Valid subkeys are: `{'`, `'.join(valid)}`",
                entry.mark,
            )
            return False
        if len(kinds) > 1:
            self.findings.error(
                "include", f"Each include must use only one of: `{'`, `'.join(valid)}`", entry.mark
            )
            return False
        warn_ignored(entry)
        return kinds[0] != "remote" or check_remote(entry)

    def _rules_hold(self, entry: Entry, seen: Values) -> bool:
        listed = entry.child("rules")
        if listed.value is None or listed.value is False:
            return True
        if not check_include_rules(listed):
            return False
        match = self.evaluator.first_match(rules.listed_rules(listed.value), seen, seen.expanded())
        if match.problem:
            self.findings.error("include", f"include:{match.problem}", listed.mark)
        return match.rule is not None and match.rule.get("when") != "never"

    def _locate(self, entry: Map, mark: Mark | None, origin: Origin) -> list[WantedFile]:
        kind = next(kind for kind in KINDS if not is_blank(entry.get(kind)))
        location = entry[kind]
        at = entry.value_at(kind) or mark
        if not isinstance(location, str):
            self.findings.error(
                "include", f"Included file `{_shown(location)}` needs to be a string", at
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
        names = [name for name in self.fetcher.list_files() if test(name)]
        if not names:
            self.findings.warning(
                "include", f"`{location}` matches no file", mark, "GitLab includes nothing then"
            )
        return [WantedFile("local", name, entry, mark) for name in names if name not in known]

    def _fetch(self, wanted: WantedFile, origin: Origin) -> FetchedFile | None:
        """Return the content of one included file; what is wrong is reported."""
        problem = location_problem(wanted, self.context.source)
        if problem:
            self.findings.error("include", problem, wanted.mark)
            return None
        fetched = self.finder.fetch(wanted, origin)
        if fetched is not None and not fetched.content.strip():
            self.findings.error("include", _empty_sentence(wanted), wanted.mark)
            return None
        return fetched

    def _read(self, wanted: WantedFile, origin: Origin, chain: tuple[str, ...]) -> Map | None:
        """Return one included file, with its own includes merged."""
        fetched = self._fetch(wanted, origin)
        if fetched is None:
            return None
        given = wanted.entry.get("inputs")
        if given is not None and not isinstance(given, Map):
            self.findings.error(
                "include",
                f"`{wanted.shown}`: Given inputs must be a hash",
                wanted.entry.value_at("inputs"),
            )
            return None
        arguments = (
            {str(k): inputs.given_json(v) for k, v in given.items()}
            if isinstance(given, Map)
            else {}
        )
        loaded = self.loader.load(
            fetched.content,
            fetched.name,
            Arguments(
                arguments,
                fetched.component,
                wanted.mark,
                f"`{wanted.shown}`: ",
                None if wanted.kind == "component" else partial(self._shared_inputs, origin),
            ),
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


def _empty_sentence(wanted: WantedFile) -> str:
    subject = {
        "local": f"Local file `{wanted.shown}` is empty!",
        "artifact": f"File `{wanted.shown}` is empty!",
        "project": f"Project `{wanted.location}` file `{wanted.shown}` is empty!",
    }
    return subject.get(wanted.kind, f"Included file `{wanted.shown}` is empty or does not exist!")


def _shown(location: Node) -> str:
    if isinstance(location, (Map, Seq, Reference)):
        return values.shown(location)
    return text_of(location)


def _cycle_hint(chain: tuple[str, ...], name: str) -> str | None:
    if name in chain:
        return f"{name} includes itself: {' → '.join([*chain, name])}"
    return None


def place_of(one: Included) -> str:
    """Return where a file was asked for."""
    return str(place(one.mark))
