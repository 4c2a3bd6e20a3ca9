"""``--variables-file``: the project's variables, as dotenv lines or as YAML with environment scopes.

YAML is a map of names. A value is text, or a map with ``value`` and ``file``, ``masked``, ``raw``,
``protected``, ``hidden`` and ``environment_scope``; or a list of such maps, one per scope.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from podlane.compiler.context import ScopedVariable
from podlane.compiler.files import reader
from podlane.compiler.source import Map, Node, Seq, text_of
from podlane.kit.errors import UsageError
from podlane.model.job import Variable

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z")
_KEYS = frozenset({"value", "file", "masked", "hidden", "raw", "protected", "environment_scope"})
# What GitLab can mask: a masked value may have any characters but white space only if it is raw.
_MASKED = re.compile(r"[a-zA-Z0-9_+=/@:.~-]{8,}")
_MASKED_RAW = re.compile(r"\S{8,}")


def load(path: Path) -> tuple[ScopedVariable, ...]:
    """Return the variables of a file.

    Raises:
        UsageError: it cannot be read, or something in it is not understood; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the variables file {path}: {error}") from error
    if path.suffix.lower() in (".yml", ".yaml"):
        return tuple(_yaml(text, path))
    return tuple(_dotenv(text, path))


def _dotenv(text: str, path: Path) -> Iterator[ScopedVariable]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise UsageError(f"{path}:{number}: this is no NAME=value line")
        value = match[2]
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        yield ScopedVariable(scope="*", variable=Variable(key=match[1], value=value))


def _yaml(text: str, path: Path) -> Iterator[ScopedVariable]:
    try:
        documents = reader.read_documents(text, str(path))
    except reader.YamlError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from error
    root = documents[0].root if documents else Map()
    if not isinstance(root, Map):
        raise UsageError(f"{path}: the file must be a map of variables")
    for key, value in root.items():
        for item in value if isinstance(value, Seq) else [value]:
            yield _variable(text_of(key), item, path)


def _variable(name: str, item: Node, path: Path) -> ScopedVariable:
    if not isinstance(item, Map):
        if isinstance(item, (str, int, float)) or item is None:
            return ScopedVariable(scope="*", variable=Variable(key=name, value=text_of(item)))
        raise UsageError(f"{path}: {name} is neither text nor a map with `value`")
    unknown = [text_of(key) for key in item if key not in _KEYS]
    if unknown:
        raise UsageError(
            f"{path}: {name} has unknown keys: {', '.join(unknown)}",
            hint=f"known: {', '.join(sorted(_KEYS))}",
        )
    value, scope = item.get("value"), item.get("environment_scope")
    variable = Variable(
        key=name,
        value=text_of(value) if isinstance(value, (str, int, float)) else "",
        file=item.get("file") is True,
        masked=item.get("masked") is True,
        raw=item.get("raw") is True,
    )
    _check_masked(variable, path, hidden=item.get("hidden") is True)
    return ScopedVariable(
        scope=scope if isinstance(scope, str) else "*",
        variable=variable,
        protected=item.get("protected") is True,
    )


def _check_masked(variable: Variable, path: Path, *, hidden: bool) -> None:
    """Refuse what GitLab refuses (``Ci::Maskable``); the sentences do not show the value."""
    if hidden and not variable.masked:
        raise UsageError(f"{path}: {variable.key} is hidden and must be masked too")
    allowed = _MASKED_RAW if variable.raw else _MASKED
    if variable.masked and not allowed.fullmatch(variable.value):
        which = "no white space" if variable.raw else "only letters, digits and _+=/@:.~-"
        raise UsageError(
            f"{path}: {variable.key} cannot be masked: "
            f"its value must have 8 characters or more, and {which}",
            hint=None if variable.raw else "raw: true allows everything but white space",
        )
