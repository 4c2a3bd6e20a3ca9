"""``rules``: the first one whose clauses all hold decides; each decision can be explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from podlane.compiler.context import Fetcher, FetchError
from podlane.compiler.expr import evaluate, nodes
from podlane.compiler.expr.errors import ExpressionError
from podlane.compiler.expr.parser import parse
from podlane.compiler.keywords import values
from podlane.compiler.selection import globs
from podlane.compiler.source import Map, Node, Seq
from podlane.compiler.variables.expansion import expand

MAX_COMPARISONS = 50_000


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a rule and what it gave. ``operands`` are the variables' values in it."""

    keyword: str
    text: str
    held: bool
    operands: tuple[tuple[str, str | None], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule that was looked at."""

    rule: Map
    clauses: tuple[Clause, ...]

    @property
    def matched(self) -> bool:
        """Whether every clause held."""
        return all(clause.held for clause in self.clauses)


@dataclass(frozen=True, slots=True)
class Match:
    """The outcome: the rule that decided (None when none did) and the rules looked at.

    ``problem`` is why the rules could not be looked at any further; no rule decides then.
    """

    rule: Map | None
    trace: tuple[RuleTrace, ...]
    problem: str = ""


class _UndecidableError(Exception):
    """A clause that cannot be answered, in GitLab's words."""


@dataclass(slots=True)
class Evaluator:
    """Evaluates rules of one pipeline; the repository is asked once for each question."""

    fetcher: Fetcher
    _trees: dict[str, nodes.Node | None] = field(default_factory=dict)
    _changes: dict[str | None, frozenset[str] | None] = field(default_factory=dict)
    _files: tuple[str, ...] | None = None
    _file_set: frozenset[str] = frozenset()

    def first_match(
        self, rules: list[Map], variables: Mapping[str, str], expanded: Mapping[str, str]
    ) -> Match:
        """Return the first rule that holds. Globs see expanded values, expressions do not."""
        trace: list[RuleTrace] = []
        for rule in rules:
            try:
                looked_at = RuleTrace(rule, self._clauses(rule, variables, expanded))
            except _UndecidableError as error:
                return Match(None, tuple(trace), str(error))
            trace.append(looked_at)
            if looked_at.matched:
                return Match(rule, tuple(trace))
        return Match(None, tuple(trace))

    def holds(self, text: str, variables: Mapping[str, str]) -> bool:
        """Return whether an expression holds; an invalid one does not."""
        tree = self._tree(text)
        return tree is not None and evaluate.is_true(tree, variables)

    def changed(self, paths: list[str]) -> bool:
        """Return whether any changed file matches (``only``); unknown changes count as a match."""
        files = self._changed_files(None)
        return files is None or globs.any_match(paths, files)

    def changed_since(
        self, paths: list[str], base: str | None, variables: Mapping[str, str]
    ) -> bool:
        """Return whether any file that changed (since ``base``) matches; unknown ones do."""
        files = self._changed_files(base)
        if files is None:
            return True
        patterns = set(_expanded(paths, variables))
        if len(patterns) * len(files) > MAX_COMPARISONS:
            return True
        return globs.any_match(patterns, files)

    def exists(self, paths: list[str], variables: Mapping[str, str]) -> bool:
        """Return whether any file of the commit matches."""
        if not paths:
            return False
        patterns = _expanded(paths, variables)
        exact = [p for p in patterns if not globs.GLOB_CHARACTERS & set(p)]
        if any(self._has(path) for path in exact):
            return True
        wild = [p for p in patterns if globs.GLOB_CHARACTERS & set(p)]
        endings = tuple(p.removeprefix("**/*") for p in wild if _is_ending(p))
        files = self._all_files()
        if not any("/" in p or "**" in p for p in patterns):
            files = tuple(name for name in files if "/" not in name)
        if endings and any(name.endswith(endings) for name in files):
            return True
        wild = [p for p in wild if not _is_ending(p)]
        if len(wild) * len(files) > MAX_COMPARISONS:
            return True
        return globs.any_match(wild, files)

    def _has(self, path: str) -> bool:
        """Return whether a file is there, or one in a directory (``path`` ends with a slash).

        GitLab looks for a directory by Ruby's ``bsearch``, as if all files after it were in it too, so
        that it does not find every one that is there.
        """
        files = self._all_files()
        if not path.endswith("/"):
            return path in self._file_set
        low, high, found = 0, len(files), False
        while low < high:
            middle = (low + high) // 2
            if files[middle].startswith(path):
                high, found = middle, True
            else:
                low = middle + 1
        return found

    def _clauses(
        self, rule: Map, variables: Mapping[str, str], expanded: Mapping[str, str]
    ) -> tuple[Clause, ...]:
        found: list[Clause] = []
        condition = rule.get("if")
        if condition is not None:
            found.append(self._condition(str(condition), variables))
            if not found[-1].held:
                return tuple(found)
        for keyword, ask in (("changes", self._ask_changes), ("exists", self._ask_exists)):
            value = rule.get(keyword)
            if value is not None:
                found.append(ask(value, expanded))
                if not found[-1].held:
                    break
        return tuple(found)

    def _condition(self, text: str, variables: Mapping[str, str]) -> Clause:
        tree = self._tree(text)
        if tree is None:
            return Clause("if", text, held=False, note="invalid expression")
        names = dict.fromkeys(nodes.variables(tree))
        operands = tuple((name, variables.get(name)) for name in names)
        return Clause("if", text, held=evaluate.is_true(tree, variables), operands=operands)

    def _ask_changes(self, value: Node, expanded: Mapping[str, str]) -> Clause:
        paths = value.get("paths") if isinstance(value, Map) else value
        compare_to = value.get("compare_to") if isinstance(value, Map) else None
        base = _expanded([compare_to], expanded)[0] if isinstance(compare_to, str) else None
        if isinstance(value, Map) and paths is None:  # regexp, behind a flag that is off by default
            return Clause("changes", "regexp", held=True, note="regexp is switched off")
        listed = values.strings(paths)
        held = self.changed_since(listed, base, expanded)
        unknown = self._changed_files(base) is None
        note = "which files changed is not known, so it holds" if unknown else ""
        return Clause("changes", ", ".join(listed), held=held, note=note)

    def _ask_exists(self, value: Node, expanded: Mapping[str, str]) -> Clause:
        paths = value.get("paths") if isinstance(value, Map) else value
        listed = values.strings(paths) if isinstance(paths, (str, Seq)) else []
        if isinstance(value, Map) and paths is None:
            return Clause("exists", "regexp", held=True, note="regexp is switched off")
        return Clause("exists", ", ".join(listed), held=self.exists(listed, expanded))

    def _tree(self, text: str) -> nodes.Node | None:
        if text not in self._trees:
            try:
                self._trees[text] = parse(text)
            except ExpressionError:
                self._trees[text] = None
        return self._trees[text]

    def _changed_files(self, base: str | None) -> frozenset[str] | None:
        if base not in self._changes:
            try:
                files = self.fetcher.changed_files(base)
            except FetchError:
                raise _UndecidableError("rules:changes:compare_to is not a valid ref") from None
            self._changes[base] = None if files is None else frozenset(files)
        return self._changes[base]

    def _all_files(self) -> tuple[str, ...]:
        if self._files is None:
            self._files = tuple(self.fetcher.list_files())
            self._file_set = frozenset(self._files)
        return self._files


def _expanded(patterns: list[str], variables: Mapping[str, str]) -> list[str]:
    return [expand(pattern, variables, keep_undefined=True) for pattern in patterns]


def _is_ending(pattern: str) -> bool:
    """Whether a pattern asks for the end of a name only, as ``**/*.rb`` does."""
    ending = pattern.removeprefix("**/*")
    return ending.startswith(".") and "/" not in ending and not globs.GLOB_CHARACTERS & set(ending)
