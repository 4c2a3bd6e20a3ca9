"""``!reference [job, keyword]``: replaced by what stands there, in the merged and extended whole."""

from __future__ import annotations

from podlane.compiler.findings import Findings
from podlane.compiler.source import Map, Node, Reference, Seq

MAX_CHAIN = 100


class Resolver:
    """Resolves the references of one configuration; shared subtrees are walked once."""

    def __init__(self, root: Map, findings: Findings) -> None:
        self._root = root
        self._findings = findings
        self._known: dict[int, Node] = {}

    def resolved(self) -> Map:
        """Return the configuration without references. Broken ones are reported and become null."""
        node = self._walk(self._root, ())
        assert isinstance(node, Map)
        return node

    def _walk(self, node: Node, chain: tuple[Reference, ...]) -> Node:
        if isinstance(node, Reference):
            return self._follow(node, chain)
        if not isinstance(node, (Map, Seq)):
            return node
        known = self._known.get(id(node))
        if known is None:
            known = self._map(node, chain) if isinstance(node, Map) else self._seq(node, chain)
            self._known[id(node)] = known
        return known

    def _map(self, node: Map, chain: tuple[Reference, ...]) -> Map:
        new: Map | None = None
        for key, value in node.items():
            if isinstance(value, (Map, Seq, Reference)):
                got = self._walk(value, chain)
                if got is not value:
                    new = new or node.copied()
                    new[key] = got
        return new or node

    def _seq(self, node: Seq, chain: tuple[Reference, ...]) -> Seq:
        new: Seq | None = None
        for index, value in enumerate(node):
            if isinstance(value, (Map, Seq, Reference)):
                got = self._walk(value, chain)
                if got is not value:
                    if new is None:
                        new = Seq(node.at, node)
                        new.marks = node.marks
                    new[index] = got
        return new or node

    def _follow(self, reference: Reference, chain: tuple[Reference, ...]) -> Node:
        path = reference.path
        if path is None:
            self._broken(reference, "is not valid")
            return None
        if len(chain) >= MAX_CHAIN:
            self._broken(reference, "is nested too deep")
            return None
        if any(earlier.path == path for earlier in chain):
            self._broken(reference, "is part of a circular chain")
            return None
        target: Node = self._root
        for name in path:
            target = target.get(name) if isinstance(target, Map) else None
        found = self._walk(target, (*chain, reference))
        if found is None or found is False:
            self._broken(reference, "could not be found")
            return None
        return found

    def _broken(self, reference: Reference, what: str) -> None:
        self._findings.error("reference", f"{reference!r} {what}", reference.at)
