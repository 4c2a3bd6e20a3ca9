"""Where the passes put what they find, worded as GitLab words it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from podlane.compiler.source import Map, Mark, Node, Reference, Seq, place, text_of
from podlane.kit.diagnostics import Diagnostic, Place, Severity

# What is found only because something else is not there.
_ABSENCES = frozenset({"extends", "reference"})


@dataclass(slots=True)
class Findings:
    """All diagnostics of one compilation, in order, each once.

    ``incomplete``: a file could not be included, so that what it would have brought is not missed.
    """

    file: str
    incomplete: bool = False
    found: list[Diagnostic] = field(default_factory=list)
    unsupported: list[tuple[str, Diagnostic]] = field(default_factory=list)
    _sound: set[tuple[str, int]] = field(default_factory=set)

    def check_once(self, check: Callable[[Entry], None], entry: Entry) -> None:
        """Run a check, unless it found nothing wrong with the very same value before.

        Jobs share what they inherit, so that a template is checked once and not for each job.
        """
        key = (entry.path[-1], id(entry.value))
        if key in self._sound:
            return
        before = len(self.found) + len(self.unsupported)
        check(entry)
        if len(self.found) + len(self.unsupported) == before and isinstance(
            entry.value, (Map, Seq)
        ):
            self._sound.add(key)

    def error(self, code: str, message: str, mark: Mark | None, hint: str | None = None) -> None:
        """Add an error."""
        if self.incomplete and code in _ABSENCES:
            return
        self._add(Diagnostic(code=code, message=message, place=self._place(mark), hint=hint))

    def warning(self, code: str, message: str, mark: Mark | None, hint: str | None = None) -> None:
        """Add a warning."""
        self._add(
            Diagnostic(
                code=code,
                message=message,
                place=self._place(mark),
                severity=Severity.WARNING,
                hint=hint,
            )
        )

    def take(self, other: Findings, prefix: str = "") -> None:
        """Add what another check found, with ``prefix`` before its messages."""
        for finding in other.found:
            self._add(replace(finding, message=prefix + finding.message) if prefix else finding)
        self.unsupported += [one for one in other.unsupported if one not in self.unsupported]

    def prefix(self, start: int, prefix: str) -> None:
        """Put ``prefix`` before the messages of what was found since there were ``start`` findings."""
        for index in range(start, len(self.found)):
            finding = self.found[index]
            self.found[index] = replace(finding, message=prefix + finding.message)

    def replace_last_hint(self, hint: str) -> None:
        """Give the newest finding a better hint."""
        self.found[-1] = replace(self.found[-1], hint=hint)

    def refuse(
        self, path: Sequence[str], reason: str, mark: Mark | None, hint: str | None = None
    ) -> None:
        """Note a keyword that is valid but cannot be honoured; it is never ignored silently."""
        finding = Diagnostic(
            code="unsupported",
            message=f"`{':'.join(path)}` is not supported: {reason}",
            place=self._place(mark),
            hint=hint,
        )
        job = path[1] if path[0] == "jobs" else ""
        if (job, finding) not in self.unsupported:
            self.unsupported.append((job, finding))

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return everything in the order of the files."""
        return tuple(
            sorted(
                self.found,
                key=lambda d: (
                    d.place.file != self.file,
                    d.place.file,
                    d.place.line,
                    d.place.column,
                ),
            )
        )

    def _place(self, mark: Mark | None) -> Place:
        return place(mark, self.file)

    def _add(self, finding: Diagnostic) -> None:
        if finding not in self.found:
            self.found.append(finding)


@dataclass(slots=True)
class Entry:
    """One value of the configuration under a check: where it is in the tree, and in the file.

    ``path`` is GitLab's location, ``("jobs", "rspec", "artifacts")``.
    """

    findings: Findings
    path: tuple[str, ...]
    value: Node
    mark: Mark | None

    def error(
        self,
        text: str,
        *,
        attribute: str = "config",
        mark: Mark | None = None,
        hint: str | None = None,
    ) -> None:
        """Report ``<location> <attribute> <text>``, lower-cased as by GitLab (with an attribute)."""
        if isinstance(self.value, Reference):  # broken, and reported as such
            return
        parts = (":".join(self.path), attribute, text)
        message = " ".join(part for part in parts if part)
        if attribute:
            message = message.lower()
        self.findings.error("config", message, mark or self.mark, hint)

    def refuse(self, reason: str, hint: str | None = None) -> None:
        """Note that this keyword is valid but cannot be honoured."""
        self.findings.refuse(self.path, reason, self.mark, hint)

    def child(self, key: str, *, name: str | None = None) -> Entry:
        """Return the entry of ``key``; what is no mapping has nothing there."""
        value = self.value
        path = (*self.path, name or key)
        if not isinstance(value, Map):
            return Entry(self.findings, path, None, self.mark)
        return Entry(self.findings, path, value.get(key), value.value_at(key))

    def absent(self, key: str) -> bool:
        """Whether ``key`` is not there, or null."""
        return not isinstance(self.value, Map) or self.value.get(key) is None

    def is_hash(self, hint: str | None = None) -> bool:
        """Report a value that is no mapping."""
        if not isinstance(self.value, Map):
            self.error("should be a hash", hint=hint)
        return isinstance(self.value, Map)

    def known_keys(self, allowed: Sequence[str]) -> bool:
        """Report keys that are not in ``allowed``."""
        value = self.value
        unknown = [key for key in value if key not in allowed] if isinstance(value, Map) else []
        if not unknown or not isinstance(value, Map):
            return True
        names = ", ".join(text_of(key) for key in unknown)
        hint = did_you_mean(text_of(unknown[0]), allowed)
        self.error(f"contains unknown keys: {names}", mark=value.key_at(unknown[0]), hint=hint)
        return False


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the nearest known word, if there is a near one."""
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.7)
    return f"did you mean `{lowered[near[0]]}`?" if near else None
