"""The runners in ``config.toml`` as commands speak of them: by name, token, URL, id, or all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from podlane.kit.errors import UsageError
from podlane.runner.configuration.settings import RunnerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One runner and its place among the ``[[runners]]``, None when the file does not have it."""

    index: int | None
    runner: RunnerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which runners are meant; what is empty does not matter."""

    name: str = ""
    token: str = ""
    url: str = ""
    id: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not (self.name or self.token or self.url or self.id)

    def fits(self, runner: RunnerSettings) -> bool:
        """Whether the runner is meant."""
        return all(
            not wanted or wanted == found
            for wanted, found in (
                (self.name, runner.name),
                (self.token, runner.token),
                (self.url.rstrip("/"), runner.url.rstrip("/")),
                (self.id, runner.id),
            )
        )

    def __str__(self) -> str:
        """Say what was wanted, without the token."""
        said = [f"the name {self.name!r}"] if self.name else []
        said += [f"the URL {self.url}"] if self.url else []
        said += [f"the id {self.id}"] if self.id else []
        said += ["that token"] if self.token else []
        return " and ".join(said)


def choose(runners: Iterable[RunnerSettings], choice: Choice) -> list[Entry]:
    """Return the runners that are meant, all of them for an empty choice.

    Raises:
        UsageError: there is none.
    """
    entries = [Entry(index=index, runner=runner) for index, runner in enumerate(runners)]
    chosen = [entry for entry in entries if choice.fits(entry.runner)]
    if not chosen and choice.is_empty:
        raise UsageError(
            "the configuration has no [[runners]]", hint="add one with `podlane runner register`"
        )
    if not chosen:
        raise UsageError(
            f"no runner of the configuration has {choice}",
            hint="see them with `podlane runner list`",
        )
    return chosen
