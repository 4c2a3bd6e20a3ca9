"""JSON schemas inside keywords: what GitLab checks with json_schemer, in its words.

All problems of a value are told, those of every alternative included, as json_schemer tells them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from podlane.compiler.findings import Entry
from podlane.compiler.source import Map, Node, Seq, text_of

_ARTICLES = {"integer": "an", "array": "an", "object": "an"}


@dataclass(frozen=True, slots=True)
class Schema:
    """What a value must be; everything that is not given is not asked for.

    ``fields`` are the properties of a mapping, ``named`` the schema of those whose key matches
    ``names``; no others are allowed when it is ``closed``. ``required`` are keys that must be there,
    ``without`` one that must not. Of ``one_of`` exactly one must hold.
    """

    types: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    without: str = ""
    one_of: tuple[Schema, ...] = ()
    fields: Mapping[str, Schema] = field(default_factory=dict)
    names: str = ""
    named: Schema | None = None
    closed: bool = False
    items: Schema | None = None
    lengths: tuple[int, int] | None = None
    pattern: str = ""

    def problems(self, value: Node, at: str = "") -> Iterator[str]:
        """Yield what is wrong with a value at a JSON pointer."""
        if self.types and not any(_is_type(value, name) for name in self.types):
            yield f"value at {_shown(at)} is not {_types(self.types)}"
        if isinstance(value, Map):
            yield from self._map_problems(value, at)
        elif self.without:
            yield f"value at {_shown(at)} matches `not` schema"
        if isinstance(value, Seq) and self.items is not None:
            for index, item in enumerate(value):
                yield from self.items.problems(item, f"{at}/{index}")
        if isinstance(value, str):
            yield from self._text_problems(value, at)
        yield from self._alternatives(value, at)

    def _map_problems(self, value: Map, at: str) -> Iterator[str]:
        missing = [key for key in self.required if key not in value]
        if missing:
            yield (f"object at {_shown(at)} is missing required properties: {', '.join(missing)}")
        if self.without and self.without in value:
            yield f"value at {_shown(at)} matches `not` schema"
        for key, item in value.items():
            name = text_of(key)
            where = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
            known = self.fields.get(name)
            if known is None and self.named is not None and _matches(self.names, name):
                known = self.named
            if known is not None:
                yield from known.problems(item, where)
            elif self.closed:
                yield f"object property at {_shown(where)} is a disallowed additional property"

    def _text_problems(self, value: str, at: str) -> Iterator[str]:
        least, most = self.lengths or (0, len(value))
        if len(value) < least:
            yield f"string length at {_shown(at)} is less than: {least}"
        if len(value) > most:
            yield f"string length at {_shown(at)} is greater than: {most}"
        if self.pattern and not _matches(self.pattern, value):
            yield f"string at {_shown(at)} does not match pattern: {self.pattern}"

    def _alternatives(self, value: Node, at: str) -> Iterator[str]:
        found = [list(schema.problems(value, at)) for schema in self.one_of]
        if all(found):
            for problems in found:
                yield from problems


def check(entry: Entry, key: str, schema: Schema, value: Node, hint: str | None = None) -> None:
    """Check ``value`` as ``key`` of an entry."""
    for problem in dict.fromkeys(schema.problems(value)):
        entry.error(problem, attribute=key, mark=entry.child(key).mark, hint=hint)


def _shown(at: str) -> str:
    return f"`{at}`" if at else "root"


def _types(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return f"{_ARTICLES.get(names[0], 'a')} {names[0]}"
    return "one of the types: [" + ", ".join(f'"{name}"' for name in names) + "]"


def _is_type(value: Node, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "array": Seq,
        "object": Map,
    }
    return name in kinds and isinstance(value, kinds[name])


def _matches(pattern: str, text: str) -> bool:
    # Ruby's ^ and $ are those of lines.
    return re.search(pattern, text, re.MULTILINE) is not None
