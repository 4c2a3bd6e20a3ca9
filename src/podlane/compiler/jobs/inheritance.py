"""``extends``: merge a job over the entries it names, depth first, at most ten ancestors."""

from __future__ import annotations

from podlane.compiler.findings import Findings, did_you_mean
from podlane.compiler.keywords import values
from podlane.compiler.source import (
    Map,
    Node,
    Scalar,
    Seq,
    Symbol,
    deep_merge,
    text_of,
)

MAX_ANCESTORS = 10


def _names(named: Node) -> list[str]:
    """Return what ``extends`` names; of what is no name, Ruby's text of it."""
    if named is None:
        return []
    if isinstance(named, Map):
        keys = [Symbol(key) if isinstance(key, str) else key for key in named]
        return [
            values.inspected(Seq(None, [key, value]))
            for key, value in zip(keys, named.values(), strict=True)
        ]
    return [values.inspected(one) for one in (named if isinstance(named, Seq) else [named])]


class Extender:
    """Extends every entry of a configuration once; errors name the entry, as GitLab's do."""

    def __init__(self, root: Map, findings: Findings) -> None:
        self._root = root
        self._findings = findings
        self._done: dict[Scalar, tuple[Map, int]] = {}

    def extended(self) -> Map:
        """Return the configuration with every ``extends`` merged."""
        new = self._root.copied()
        for key, value in self._root.items():
            if isinstance(value, Map) and "extends" in value:
                new[key] = self._extend(key, value, ())[0]
        return new

    def _extend(self, key: Scalar, value: Map, ancestors: tuple[Scalar, ...]) -> tuple[Map, int]:
        """Return the merged map and how many levels of extending bases are below it."""
        if key in self._done:
            merged, height = self._done[key]
            if len(ancestors) + height > MAX_ANCESTORS:
                self._report_depth(key, value, len(ancestors))
            return merged, height
        if key in ancestors:
            self._report(key, value, "circular dependency detected in `extends`")
            return value, 0
        if len(ancestors) > MAX_ANCESTORS:
            self._report(key, value, "nesting too deep in `extends`")
            return value, 0
        bases = self._bases(key, value)
        if not bases:
            return value, 0
        height = 0
        merged = Map(value.at)
        for name, base in bases:
            if "extends" in base:
                base, levels = self._extend(name, base, (*ancestors, key))  # noqa: PLW2901 - extended
                height = max(height, levels + 1)
            merged = deep_merge(merged, base)
        merged = deep_merge(merged, value)
        self._done[key] = merged, height
        return merged, height

    def _report_depth(self, key: Scalar, value: Map, depth: int) -> None:
        """Report the first entry below ``key`` that has too many ancestors."""
        while depth <= MAX_ANCESTORS:
            deeper = [
                (name, base)
                for name, base in self._bases(key, value)
                if depth + 1 + self._done.get(name, (base, 0))[1] > MAX_ANCESTORS
                and "extends" in base
            ]
            if not deeper:
                break
            key, value = deeper[0]
            depth += 1
        self._report(key, value, "nesting too deep in `extends`")

    def _bases(self, key: Scalar, value: Map) -> list[tuple[Scalar, Map]]:
        names = _names(value["extends"])
        unknown = [name for name in names if name not in self._root]
        if unknown:
            hint = did_you_mean(unknown[0], [name for name in self._root if isinstance(name, str)])
            self._report(key, value, f"unknown keys in `extends` ({', '.join(unknown)})", hint)
            return []
        invalid = [name for name in names if not isinstance(self._root[name], Map)]
        if invalid:
            self._report(key, value, f"invalid base hashes in `extends` ({', '.join(invalid)})")
            return []
        found: list[tuple[Scalar, Map]] = []
        for name in names:
            base = self._root[name]
            if isinstance(base, Map):
                found.append((name, base))
        return found

    def _report(self, key: Scalar, value: Map, what: str, hint: str | None = None) -> None:
        mark = value.value_at("extends")
        self._findings.error("extends", f"{text_of(key)}: {what}", mark, hint)
