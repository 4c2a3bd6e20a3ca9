"""``$[[ inputs.name | function ]]``: replaced in the content of a file that has a ``spec`` header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from podlane.compiler.keywords.inputs import to_text
from podlane.compiler.source import Map, Mark, Node, Reference, Scalar, Seq, text_of
from podlane.compiler.variables.expansion import expand, names_in
from podlane.kit.jsonvalue import Json

_BLOCK = re.compile(r"\$\[\[\s*(\S.*?\S)\s*\]\]", re.ASCII)
_INDEXED = re.compile(r"\A(\w*)((?:\[\d+\])+)\Z", re.ASCII)
_INDEX = re.compile(r"\[(\d+)\]")
_BRACKET = re.compile(r"\[([^\]]*)\]")
_TRUNCATE = re.compile(r"\Atruncate\(\s*(\d+)\s*,\s*(\d+)\s*\)?\Z", re.ASCII)  # as GitLab has it
_UNSAFE = re.compile(r"[^A-Za-z0-9_\-.,:+/@\n]")
_ESCAPE = re.compile(r"\\([0-9\\&`'])", re.ASCII)
MAX_FUNCTIONS = 3
MAX_SEGMENTS = 5
MAX_INDEXES = 5
MAX_EXPRESSION_BYTES = 1024
MAX_TEXT_BYTES = 1_048_576
MAX_ERRORS = 3


class InterpolationError(ValueError):
    """A block that cannot be replaced; GitLab's sentence."""


@dataclass(slots=True)
class Interpolator:
    """Replaces the blocks of one file. ``masked`` are variables that may not be written out."""

    inputs: Mapping[str, Json]
    component: Mapping[str, str | None]
    variables: Mapping[str, str]
    masked: frozenset[str] = frozenset()
    errors: list[tuple[str, Mark | None]] = field(default_factory=list)

    def apply(self, node: Node, mark: Mark | None = None) -> Node:
        """Return a node with every block replaced; a block alone in a list may give several items."""
        if isinstance(node, str):
            return self._text(node, mark) if "$[[" in node else node
        if isinstance(node, Map):
            return self._map(node)
        if isinstance(node, Seq):
            return self._seq(node)
        if isinstance(node, Reference):
            return Reference(node.at, self.apply(node.data, node.at))
        return node

    def _map(self, node: Map) -> Map:
        new = Map(node.at)
        for key, value in node.items():
            marks = node.marks.get(key, (node.at, node.at))
            name: Scalar = key
            if isinstance(key, str) and "$[[" in key:
                found = self._text(key, marks[0])
                name = text_of(found) if not isinstance(found, (Map, Seq, Reference)) else key
            new.put(name, self.apply(value, marks[1]), marks)
        return new

    def _seq(self, node: Seq) -> Seq:
        new = Seq(node.at)
        for index, item in enumerate(node):
            mark = node.item_at(index)
            found = self.apply(item, mark)
            if isinstance(item, str) and isinstance(found, Seq):
                new.extend(found)
                new.marks.extend([mark] * len(found))
            else:
                new.append(found)
                new.marks.append(mark)
        return new

    def _text(self, text: str, mark: Mark | None) -> Node:
        try:
            blocks = list(_BLOCK.finditer(text))
            if len(blocks) == 1 and blocks[0][0] == text:
                return _node(self._block(text, blocks[0][1]), mark)
            result = text
            for block in blocks:
                result = _replaced(result, block[0], to_text(self._block(block[0], block[1])))
        except InterpolationError as error:
            self.errors.append((str(error), mark))
            return text
        if len(result) > MAX_TEXT_BYTES:
            self.errors.append(("maximum node size exceeded", mark))
            return text
        return result

    def _block(self, block: str, content: str) -> Json:
        access, *functions = [part.strip() for part in content.rstrip("|").split("|")]
        if access.partition(".")[0] == "matrix":
            return block
        value = self._access(access)
        if len(functions) > MAX_FUNCTIONS:
            raise InterpolationError("too many functions in interpolation block")
        for function in functions:
            value = self._call(function, value)
        return value

    def _access(self, access: str) -> Json:
        segments = access.split(".", MAX_SEGMENTS - 1)
        if len(segments) <= 1:
            raise InterpolationError(
                "invalid pattern used for interpolation. valid pattern is $[[ inputs.input ]]"
            )
        if len(access.encode()) > MAX_EXPRESSION_BYTES:
            raise InterpolationError("maximum interpolation expression size exceeded")
        value: Json = {"inputs": dict(self.inputs), "component": dict(self.component)}
        for segment in segments:
            value = (
                _indexed(value, segment, access) if "[" in segment else _key(value, segment, access)
            )
        return value

    def _call(self, function: str, value: Json) -> Json:
        truncate = _TRUNCATE.match(function)
        name = function.partition("(")[0].strip()
        if truncate is None and function not in ("expand_vars", "posix_escape"):
            raise InterpolationError(
                f"no function matching `{function}`: check that the function name, arguments, "
                "and types are correct"
            )
        if not isinstance(value, str):
            raise InterpolationError(
                f"error in `{name}` function: "
                f"invalid input type: {name} can only be used with string inputs"
            )
        if truncate is not None:
            start, length = int(truncate[1]), int(truncate[2])
            return value[start : start + length]
        if function == "posix_escape":
            return _escaped(value)
        if not self.masked.isdisjoint(names_in(value)):
            raise InterpolationError(
                "error in `expand_vars` function: "
                "variable expansion error: masked variables cannot be expanded"
            )
        return expand(value, self.variables, keep_undefined=True)


def _replaced(text: str, block: str, value: str) -> str:
    r"""Return ``text`` with ``value`` for every ``block``, as Ruby's ``gsub`` does it.

    Backslashes in the value have a meaning there: ``\\'`` is what follows the block.
    """
    if "\\" not in value:
        return text.replace(block, value)
    parts = text.split(block)
    found = parts[0]
    for index in range(1, len(parts)):
        before, after = block.join(parts[:index]), block.join(parts[index:])
        meanings = {"\\": "\\", "0": block, "&": block, "`": before, "'": after}
        found += _ESCAPE.sub(
            lambda match, meanings=meanings: meanings.get(  # type: ignore[misc]  # bound here
                match[1], "" if match[1].isdigit() else match[0]
            ),
            value,
        )
        found += parts[index]
    return found


def _key(value: Json, segment: str, access: str) -> Json:
    if not isinstance(value, dict) or segment not in value:
        raise InterpolationError(f"unknown interpolation provided: `{segment}` in `{access}`")
    return value[segment]


def _indexed(value: Json, segment: str, access: str) -> Json:
    match = _INDEXED.match(segment)
    if match is None:
        raise InterpolationError(_bad_index(segment, access))
    if not match[1]:
        raise InterpolationError(f"invalid indexed access without a key in `{access}`")
    indexes = [int(index) for index in _INDEX.findall(segment)]
    if len(indexes) > MAX_INDEXES:
        raise InterpolationError(
            f"too many array indices in `{access}` (maximum depth: {MAX_INDEXES})"
        )
    value = _key(value, match[1], access)
    for index in indexes:
        if not isinstance(value, list):
            raise InterpolationError(
                f"cannot index into non-array value at [{index}] in `{access}`"
            )
        if index >= len(value):
            raise InterpolationError(
                f"array index {index} out of bounds (size: {len(value)}) in `{access}`"
            )
        value = value[index]
    return value


def _bad_index(segment: str, access: str) -> str:
    if segment.count("[") != segment.count("]"):
        return f"invalid array index in `{access}`: missing closing bracket"
    for content in _BRACKET.findall(segment):
        if not content.isdigit():
            return f"invalid array index in `{access}`: `{content}` is not a valid index"
    return f"invalid array index syntax in `{access}`"


def _escaped(text: str) -> str:
    if not text:
        return "''"
    return _UNSAFE.sub(lambda match: "\\" + match[0], text).replace("\n", "'\n'")


def _node(value: Json, mark: Mark | None) -> Node:
    if isinstance(value, dict):
        found = Map(mark)
        for key, item in value.items():
            found.put(key, _node(item, mark), (mark, mark))
        return found
    if isinstance(value, list):
        items = Seq(mark, [_node(item, mark) for item in value])
        items.marks = [mark] * len(items)
        return items
    return value
