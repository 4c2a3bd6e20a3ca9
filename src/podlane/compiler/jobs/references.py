"""``!reference [job, keyword]``: replaced by what stands there, in the merged and extended whole."""

from __future__ import annotations

from podlane.compiler.findings import Findings
from podlane.compiler.source import Map, Node, Reference, Seq

MAX_CHAIN = 100


class Resolver:
    """Resolves the references of one configuration; shared subtrees are walked once.

    A broken reference is reported once. It stays where it is the value of a key, so that checks pass
    over it, and is dropped from lists.
    """

    def __init__(self, root: Map, findings: Findings) -> None:
        self._root = root
        self._findings = findings
        self._known: dict[int, Node] = {}
        self._broken: set[int] = set()

    def resolved(self) -> Map:
        """Return the configuration without references."""
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
        new = Seq(node.at)
        for index, value in enumerate(node):
            got = self._walk(value, chain)
            if not isinstance(got, Reference):
                new.append(got)
                new.marks.append(node.item_at(index))
        same = len(new) == len(node) and all(a is b for a, b in zip(new, node, strict=True))
        return node if same else new

    def _follow(self, reference: Reference, chain: tuple[Reference, ...]) -> Node:
        if id(reference) in self._broken:
            return reference
        path = reference.path
        if path is None:
            return self._report(reference, "is not valid", "write !reference [job, keyword]")
        if any(earlier is reference for earlier in chain):
            return self._report(reference, "is part of a circular chain")
        if len(chain) >= MAX_CHAIN:
            return self._report(reference, "is nested too deep")
        target: Node = self._root
        for name in path:
            target = target.get(name) if isinstance(target, Map) else None
        found = self._walk(target, (*chain, reference))
        if isinstance(found, Reference):  # broken further on, and reported there
            self._broken.add(id(reference))
            return reference
        if found is None or found is False:
            return self._report(reference, "could not be found")
        return found

    def _report(self, reference: Reference, what: str, hint: str | None = None) -> Reference:
        self._broken.add(id(reference))
        self._findings.error("reference", f"{reference!r} {what}", reference.at, hint)
        return reference
