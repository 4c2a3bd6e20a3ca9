"""The runners that may ask for jobs, by token."""

from __future__ import annotations

from dataclasses import replace

from podlane.coordinator.storage import tokens
from podlane.coordinator.storage.rows import RunnerRow
from podlane.coordinator.storage.store import Store


class Runners:
    """All runners of one coordinator; only hashes of their tokens are kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_hash = {row.token_hash: row for row in store.runners()}

    def find(self, token: str) -> RunnerRow | None:
        """Return the runner with this token."""
        return self._by_hash.get(tokens.hashed(token)) if token else None

    def with_id(self, text: str) -> RunnerRow | None:
        """Return the runner with this id."""
        return next((row for row in self._by_hash.values() if str(row.id) == text), None)

    def add(self, token: str, *, description: str = "", tags: tuple[str, ...] = ()) -> RunnerRow:
        """Add a runner, or return the one that has this token."""
        known = self.find(token)
        if known is not None:
            return known
        row = RunnerRow(id=0, token_hash="", description=description, tags=tags)
        return self.register(token, row)

    def register(self, token: str, attributes: RunnerRow) -> RunnerRow:
        """Add a runner with this token and these attributes, and an id of its own."""
        row = replace(attributes, id=self._store.next_id("runner"), token_hash=tokens.hashed(token))
        return self._keep(row)

    def pause(self, runner: RunnerRow, *, paused: bool) -> RunnerRow:
        """Stop handing jobs to the runner, or go on."""
        return self._keep(replace(runner, paused=paused))

    def _keep(self, row: RunnerRow) -> RunnerRow:
        self._store.save(row)
        self._by_hash[row.token_hash] = row
        return row

    def remove(self, runner: RunnerRow) -> None:
        """Forget a runner; its token is worth nothing from now on."""
        self._store.delete_runner(runner.id)
        self._by_hash.pop(runner.token_hash, None)

    def renew(self, runner: RunnerRow) -> str:
        """Return a new token for the runner; the old one is worth nothing from now on."""
        token = tokens.new_runner_token(registered=tokens.is_of_registered(runner.token_hash))
        self._by_hash.pop(runner.token_hash, None)
        self._keep(replace(runner, token_hash=tokens.hashed(token)))
        return token
