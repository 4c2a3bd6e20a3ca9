"""CI/CD variables: which definition wins, expansion, and the views that settings and masks need.

Expansion is Go's ``os.Expand`` with GitLab's rules (runner-protocol 7.2): one pass, every value
against the *unexpanded* list, so that no order of definitions and no cycle matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from podlane.model.job import Variable

_REFERENCE = re.compile(
    r"\$(?:\{([*#$@!?\-0-9])\}|\{([^}]*)\}|(\{)|([*#$@!?\-0-9])|([A-Za-z0-9_]+))"
)
_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"0", "false"})
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Variables:
    """An ordered list of variables; the last definition of a key wins.

    ``temp_dir`` is where file variables are written; a reference to one yields its path.
    """

    def __init__(self, items: Iterable[Variable], *, temp_dir: str = "") -> None:
        self._items = tuple(items)
        self._temp_dir = temp_dir
        self._last = {variable.key: variable for variable in self._items}
        self._expanded = False

    def __iter__(self) -> Iterator[Variable]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._last

    @property
    def effective(self) -> tuple[Variable, ...]:
        """The winning definition of every key, in the order of first mention."""
        return tuple(self._last.values())

    def get(self, key: str) -> str:
        """Return what a reference to ``key`` yields: the value, or the path of a file variable."""
        variable = self._last.get(key)
        if variable is None:
            return ""
        return self.file_path(key) if variable.file else variable.value

    def value(self, key: str) -> str:
        """Return the value of ``key``; for a file variable the content."""
        variable = self._last.get(key)
        return variable.value if variable is not None else ""

    def file_path(self, key: str) -> str:
        """Return where the file variable ``key`` is written."""
        return f"{self._temp_dir}/{key}"

    def expand(self, text: str) -> str:
        """Return ``text`` with every ``$NAME`` and ``${NAME}`` replaced, once."""
        return _REFERENCE.sub(self._replace, text) if "$" in text else text

    def expanded(self) -> Variables:
        """Return the list with every value that is not raw expanded. Idempotent."""
        if self._expanded:
            return self
        result = Variables(map(self._expand_one, self._items), temp_dir=self._temp_dir)
        result._expanded = True
        return result

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a boolean setting; what is absent or no boolean means ``default``."""
        raw = self.value(key).lower()
        return raw in _TRUE or (default and raw not in _FALSE)

    def flag_problem(self, key: str, *, default: bool = False) -> str | None:
        """Return GitLab's warning for a boolean setting that is none, or None."""
        raw = self.value(key)
        if not raw or raw.lower() in _TRUE | _FALSE:
            return None
        shown = str(default).lower()
        return f'{key}: expected bool got "{raw}", using default value: {shown}'

    def masked_values(self) -> tuple[str, ...]:
        """Return every value, of every definition, that the trace must not show."""
        return tuple(v.value for v in self._items if v.masked and v.value.strip())

    def public(self) -> Variables:
        """Return the variables that services may see."""
        return Variables((v for v in self._items if v.public), temp_dir=self._temp_dir)

    def _expand_one(self, variable: Variable) -> Variable:
        if variable.raw or "$" not in variable.value:
            return variable
        return msgspec.structs.replace(variable, value=self.expand(variable.value))

    def _replace(self, match: re.Match[str]) -> str:
        braced_special, braced, malformed, special, name = match.groups()
        if malformed is not None:
            return ""
        key: str = next(g for g in (braced_special, braced, special, name) if g is not None)
        return "$" if key == "$" else self.get(key)
