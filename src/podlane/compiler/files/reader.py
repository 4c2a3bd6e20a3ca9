"""YAML text to located nodes, on libyaml's events (the parser that Ruby's Psych uses too).

Limits are GitLab's: 2 MiB of text, the same with every alias written out, 100 levels. They also stop
alias bombs and values that contain themselves, because sizes are summed while reading. (GitLab counts
the bytes of Ruby's objects; we count the text, so that we refuse no file that GitLab takes.)
"""

from __future__ import annotations

import base64
import binascii
import io
import itertools
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from yaml import MarkedYAMLError, YAMLError
from yaml._yaml import CParser
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.reader import ReaderError

from podlane.compiler.files import scalars
from podlane.compiler.source import Map, Mark, Node, Reference, Scalar, Seq, is_blank

MAX_BYTES = 2_097_152
MAX_DEPTH = 100
MAX_DOCUMENTS = 2
_DIVIDER = re.compile(r"^---\s+", re.MULTILINE | re.ASCII)
_MARKS_COST = 2  # the characters around a value, at least


class YamlError(Exception):
    """The text is not YAML that GitLab reads; ``mark`` is where."""

    def __init__(self, message: str, mark: Mark | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mark = mark
        self.hint = hint


class _TooBigError(YamlError):
    """Nobody wants to read on."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its root, whether it holds ``!reference``, its size with aliases written out.

    ``duplicates`` are keys written twice in one mapping; the last one counts.
    """

    root: Node
    has_references: bool
    size: float
    duplicates: tuple[tuple[str, Mark], ...] = ()


class _Stream(io.StringIO):
    """Text with a name: libyaml's marks then carry the name of the file."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


def read_documents(text: str, file: str) -> list[Document]:
    """Return the documents of ``text`` that are not blank.

    As GitLab does, the text is cut before it is read, at lines that begin with ``---`` and a space (two
    at most), and of every piece the first document counts. Places are those in ``text``, but the
    lines in messages count from the piece, as GitLab's.

    Raises:
        YamlError: a syntax error, an unknown alias, a class that is not allowed, too big, too deep.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise YamlError(
            "The provided YAML is too big",
            hint=f"a file may have {MAX_BYTES} bytes; split it and use include",
        )
    documents: list[Document | None] = []
    start = 0
    for divider in itertools.islice(_DIVIDER.finditer(text), MAX_DOCUMENTS):
        documents.append(_read_piece(text, start, divider.start(), file))
        start = divider.end()
    documents.append(_read_piece(text, start, len(text), file))
    return [one for one in documents if one is not None and not is_blank(one.root)]


def _read_piece(text: str, start: int, end: int, file: str) -> Document | None:
    """Return the first document of a part of a text."""
    lines = text.count("\n", 0, start)
    piece = "\n" * lines + text[start:end]  # empty lines, so that marks count from the file's start
    parser = CParser(_Stream(piece, file))
    try:
        try:
            return _next_document(parser)
        except _TooBigError:
            raise
        except YamlError:
            _drain(parser)
            raise
    except MarkedYAMLError as error:
        raise _syntax_error(error, lines) from None
    except ReaderError as error:
        raise YamlError(
            f"(<unknown>): {error.reason} at position {error.position}", None,
            hint="remove the control character or save the file as UTF-8",
        ) from None  # fmt: skip
    except (YAMLError, UnicodeEncodeError) as error:
        raise YamlError(f"(<unknown>): {error}") from None


def _drain(parser: CParser) -> None:
    """Go on to the end of the document: a syntax error further on comes first."""
    get: Callable[[], Event] = parser.get_event  # type: ignore[assignment]  # None only after the end
    depth = 0
    while depth <= MAX_DEPTH:
        event = get()
        if isinstance(event, (DocumentEndEvent, StreamEndEvent)):
            break
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)


def _syntax_error(error: MarkedYAMLError, lines: int) -> YamlError:
    # Psych prints problem, then context, and the place of the context when there is one.
    said = error.context_mark or error.problem_mark
    words = " ".join(word for word in (error.problem, error.context) if word)
    where = f" at line {said.line + 1 - lines} column {said.column + 1}" if said else ""
    hint = None
    if error.problem and "found character that cannot start any token" in error.problem:
        hint = "indent with spaces, not tabs; quote values that start with @, ` or %"
    elif error.problem and "mapping values are not allowed" in error.problem:
        hint = 'a value with ": " in it needs quotes'
    return YamlError(f"(<unknown>): {words}{where}", error.problem_mark or said, hint)


def _next_document(parser: CParser) -> Document | None:
    get: Callable[[], Event] = parser.get_event  # type: ignore[assignment]  # None only after the end
    while True:
        event = get()
        if type(event) is StreamEndEvent:
            return None
        if type(event) is DocumentStartEvent:
            break
    builder = _Builder(get)
    root, size = builder.node(get(), 0)
    return Document(root, builder.has_references, size, tuple(builder.duplicates))


class _Builder:
    """Builds the nodes of one document; every method returns the node and its size."""

    def __init__(self, get: Callable[[], Event]) -> None:
        self._get = get
        self._anchors: dict[str, Node] = {}
        self._sizes: dict[str, float] = {}
        self._total = 0.0
        self.has_references = False
        self.duplicates: list[tuple[str, Mark]] = []

    def node(self, event: Event, depth: int) -> tuple[Node, float]:
        kind = type(event)
        if kind is ScalarEvent and isinstance(event, ScalarEvent):
            if event.tag == "!reference":
                return self._reference(event, event.value or None), len(event.value)
            return self._scalar(event)
        if depth >= MAX_DEPTH:
            raise _too_big(event, f"values may nest {MAX_DEPTH} levels deep")
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, depth + 1)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(event, depth + 1)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        raise YamlError("(<unknown>): unexpected end of the document", event.start_mark)

    def _grow(self, size: float, event: Event) -> float:
        self._total += size
        if self._total > MAX_BYTES:
            raise _too_big(event, "anchors, written out, make it larger than 2 MiB")
        return size

    def _scalar(self, event: ScalarEvent) -> tuple[Scalar, float]:
        text = event.value
        value: Scalar = text
        if event.implicit[0] and event.tag is None:
            try:
                value = scalars.resolve(text)
            except scalars.DisallowedClassError as error:
                raise YamlError(
                    str(error), event.start_mark, hint="quote it: dates are text here"
                ) from None
        elif event.tag is not None:
            value = self._tagged(event, text)
        size = len(text) + _MARKS_COST
        if event.anchor is not None:
            self._anchors[event.anchor] = value
            self._sizes[event.anchor] = size
        self._total += size
        if self._total > MAX_BYTES:
            raise _too_big(event, "anchors, written out, make it larger than 2 MiB")
        return value, size

    def _tagged(self, event: ScalarEvent, text: str) -> Scalar:
        if event.tag == "tag:yaml.org,2002:binary":
            try:
                return base64.b64decode(text).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                raise YamlError("(<unknown>): invalid base64 text", event.start_mark) from None
        if event.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            return scalars.resolve(text)
        _refuse_class(event.tag, event)
        return text

    def _alias(self, event: AliasEvent) -> tuple[Node, float]:
        name = event.anchor or ""
        if name not in self._anchors:
            raise YamlError(
                f"Unknown alias: {name}", event.start_mark,
                hint="anchors are per file; use extends or !reference across files",
            )  # fmt: skip
        size = self._sizes.get(name)
        if size is None:  # the anchor is still open: a value that contains itself
            return self._anchors[name], float("inf")
        return self._anchors[name], self._grow(size, event)

    def _sequence(self, event: SequenceStartEvent, depth: int) -> tuple[Node, float]:
        _refuse_class(event.tag, event)
        found = Seq(event.start_mark)
        marks = found.marks
        self._open(event, found)
        get = self._get
        size = self._grow(_MARKS_COST, event)
        while True:
            item = get()
            if type(item) is SequenceEndEvent:
                break
            value, cost = self.node(item, depth)
            found.append(value)
            marks.append(item.start_mark)
            size += cost
        if event.tag == "!reference":
            return self._reference(event, found), size
        self._close(event, found, size)
        return found, size

    def _mapping(self, event: MappingStartEvent, depth: int) -> tuple[Node, float]:
        _refuse_class(event.tag, event)
        found = Map(event.start_mark)
        self._open(event, found)
        get = self._get
        size = self._grow(_MARKS_COST, event)
        merged: set[Scalar] = set()
        while True:
            head = get()
            if type(head) is MappingEndEvent:
                break
            if type(head) is ScalarEvent and head.value == "<<" and head.implicit[0]:
                size += self._merge(found, head, depth, merged)
                continue
            key = self._key(head)
            tail = get()
            value, cost = self.node(tail, depth)
            if key in found and key not in merged and head.start_mark is not None:
                self.duplicates.append((str(key), head.start_mark))
            merged.discard(key)
            found[key] = value
            found.marks[key] = (head.start_mark, tail.start_mark)
            size += cost + (len(key) if type(key) is str else 1) + _MARKS_COST
        if event.tag == "!reference":
            return self._reference(event, found), size
        self._close(event, found, size)
        return found, size

    def _key(self, event: Event) -> Scalar:
        if type(event) is ScalarEvent and isinstance(event, ScalarEvent):
            key, _ = self._scalar(event)
            return sys.intern(key) if type(key) is str else key
        if isinstance(event, AliasEvent):
            node, _ = self._alias(event)
            if node is None or isinstance(node, (str, int, float)):
                return node
        raise YamlError(
            "(<unknown>): a mapping key must be a scalar", event.start_mark,
            hint="quote values that start with { or [",
        )  # fmt: skip

    def _merge(self, found: Map, head: Event, depth: int, merged: set[Scalar]) -> float:
        tail = self._get()
        source, size = self.node(tail, depth)
        sources = [source] if isinstance(source, Map) else []
        if isinstance(source, Seq) and all(isinstance(item, Map) for item in source):
            sources = [item for item in reversed(source) if isinstance(item, Map)]
        elif not sources:  # Psych keeps a plain "<<" key here
            found.put("<<", source, (head.start_mark, tail.start_mark))
            return size
        for each in sources:  # Psych: a merge overrides the keys that came before it
            for key in list(each):
                found[key] = each[key]
                found.marks[key] = each.marks.get(key, (head.start_mark, tail.start_mark))
                merged.add(key)
        return size

    def _reference(self, event: NodeEvent, data: Node) -> Reference:
        self.has_references = True
        return Reference(event.start_mark, data)

    def _open(self, event: NodeEvent, node: Node) -> None:
        # Psych knows no anchor of an object of a class of its own.
        if event.anchor is not None and getattr(event, "tag", None) != "!reference":
            self._anchors[event.anchor] = node
            self._sizes.pop(event.anchor, None)

    def _close(self, event: NodeEvent, node: Node, size: float) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = node
            self._sizes[event.anchor] = size


def _refuse_class(tag: str | None, event: Event) -> None:
    if tag == "tag:yaml.org,2002:set":
        raise YamlError("Tried to load unspecified class: Psych::Set", event.start_mark)
    if tag is not None and tag.startswith("!ruby/") and ":" in tag:
        name = tag.partition(":")[2]
        raise YamlError(f"Tried to load unspecified class: {name}", event.start_mark)


def _too_big(event: Event, hint: str) -> YamlError:
    return _TooBigError("The parsed YAML is too big", event.start_mark, hint)
