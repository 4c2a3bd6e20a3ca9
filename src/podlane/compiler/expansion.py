"""Where GitLab itself expands variables: ``$NAME``, ``${NAME}`` and ``%NAME%``.

Includes at configuration time; environments, resource groups, names, tags and globs at creation. Values
are expanded through one another first (sorted), except raw ones; a cycle is an error of the pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from podlane.model.job import Variable

_REFERENCE = re.compile(r"\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)\}|%([A-Za-z_]\w*)%", re.ASCII)
_IN_VALUE = re.compile(r"\$\$|%%|\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)\}|%([A-Za-z_]\w*)%", re.ASCII)


def expand(text: str, variables: Mapping[str, str], *, keep_undefined: bool = False) -> str:
    """Return ``text`` with every reference replaced, once; undefined ones become empty or stay."""
    if "$" not in text and "%" not in text:
        return text

    def replaced(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        return variables.get(name, match[0] if keep_undefined else "")

    return _REFERENCE.sub(replaced, text)


def circle_message(names: Iterable[str]) -> str:
    """Return GitLab's sentence about variables that refer to one another in a circle."""
    shown = ", ".join(f'"{name}"' for name in names)
    return f"circular variable reference detected: [{shown}]"


class ExpandedVariables(Mapping[str, str]):
    """Variables whose values are expanded through one another when they are asked for.

    A circle (``circle`` finds them) is left as it is written.
    """

    def __init__(self, variables: Mapping[str, Variable]) -> None:
        self._variables = variables
        self._known: dict[str, str] = {}
        self._open: list[str] = []

    def __getitem__(self, name: str) -> str:
        if name in self._known:
            return self._known[name]
        variable = self._variables[name]
        if variable.raw or ("$" not in variable.value and "%" not in variable.value):
            return variable.value
        if name in self._open:
            return variable.value
        self._open.append(name)
        try:
            value = _IN_VALUE.sub(self._replaced, variable.value)
        finally:
            self._open.pop()
        self._known[name] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def _replaced(self, match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        if name is None or name == self._open[-1]:
            return match[0]
        found = self._variables.get(name)
        if found is None or found.file:  # the runner knows the path of a file
            return match[0]
        return self[name]


def references(variable: Variable) -> Iterator[str]:
    """Yield the names that a value refers to."""
    if variable.raw:
        return
    for match in _IN_VALUE.finditer(variable.value):
        name = match[1] or match[2] or match[3]
        if name is not None and name != variable.key:
            yield name


def circle(variables: Mapping[str, Variable]) -> tuple[str, ...]:
    """Return the names of a circle among variables, or nothing."""
    links = {
        name: [other for other in references(variable) if other in variables]
        for name, variable in variables.items()
        if "$" in variable.value or "%" in variable.value
    }
    done: set[str] = set()
    for start in links:
        path: list[str] = []
        stack: list[tuple[str, int]] = [(start, 0)]
        while stack:
            name, index = stack.pop()
            if name in done:
                continue
            if index == 0:
                if name in path:
                    return tuple(path[path.index(name) :])
                path.append(name)
            others = links.get(name, [])
            if index < len(others):
                stack.append((name, index + 1))
                stack.append((others[index], 0))
            else:
                done.add(name)
                path.pop()
    return ()
