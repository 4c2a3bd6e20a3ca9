"""``rules``: the first one whose clauses all hold decides; each decision can be explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from podlane.compiler import globs
from podlane.compiler.context import Fetcher, FetchError
from podlane.compiler.expansion import expand
from podlane.compiler.expr import evaluate, nodes
from podlane.compiler.expr.errors import ExpressionError
from podlane.compiler.expr.parser import parse
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Seq

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
    """The outcome: the rule that decided (None when none did) and the rules looked at."""

    rule: Map | None
    trace: tuple[RuleTrace, ...]


@dataclass(slots=True)
class Evaluator:
    """Evaluates rules of one pipeline; the repository is asked once for each question."""

    fetcher: Fetcher
    subject: str = "workflow"
    problems: list[str] = field(default_factory=list)
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
            looked_at = RuleTrace(rule, self._clauses(rule, variables, expanded))
            trace.append(looked_at)
            if looked_at.matched:
                return Match(rule, tuple(trace))
        return Match(None, tuple(trace))

    def holds(self, text: str, variables: Mapping[str, str]) -> bool:
        """Return whether an expression holds; an invalid one does not."""
        tree = self._tree(text)
        return tree is not None and evaluate.is_true(tree, variables)

    def changed(
        self, paths: list[str], compare_to: str | None, variables: Mapping[str, str]
    ) -> bool:
        """Return whether any changed file matches; unknown changes count as a match."""
        base = expand(compare_to, variables, keep_undefined=True) if compare_to else None
        files = self._changed_files(base)
        if files is None:
            return True
        patterns = [expand(path, variables, keep_undefined=True) for path in paths]
        if len(patterns) * len(files) > MAX_COMPARISONS:
            return True
        return globs.any_match(patterns, files)

    def exists(self, paths: list[str], variables: Mapping[str, str]) -> bool:
        """Return whether any file of the commit matches."""
        patterns = [expand(path, variables, keep_undefined=True) for path in paths]
        if not patterns:
            return False
        files = self._all_files()
        exact = [p for p in patterns if not globs.GLOB_CHARACTERS & set(p)]
        if any(path in self._file_set for path in exact):
            return True
        folders = tuple(path for path in exact if path.endswith("/"))
        if folders and any(name.startswith(folders) for name in files):
            return True
        wild = [p for p in patterns if globs.GLOB_CHARACTERS & set(p)]
        if not wild:
            return False
        if not any("/" in p or "**" in p for p in wild):
            files = tuple(name for name in files if "/" not in name)
        if len(wild) * len(files) > MAX_COMPARISONS:
            return True
        return globs.any_match(wild, files)

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
        base = compare_to if isinstance(compare_to, str) else None
        if isinstance(value, Map) and paths is None:  # regexp, behind a flag that is off by default
            return Clause("changes", "regexp", held=True, note="regexp is switched off")
        listed = values.strings(paths)
        held = self.changed(listed, base, expanded)
        known = self._changed_files(expand(base, expanded, keep_undefined=True) if base else None)
        note = "which files changed is not known, so it holds" if known is None else ""
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
                self.problems.append(
                    f"Failed to parse rule for {self.subject}: "
                    "rules:changes:compare_to is not a valid ref"
                )
                files = ()
            self._changes[base] = None if files is None else frozenset(files)
        return self._changes[base]

    def _all_files(self) -> tuple[str, ...]:
        if self._files is None:
            self._files = tuple(self.fetcher.list_files())
            self._file_set = frozenset(self._files)
        return self._files
