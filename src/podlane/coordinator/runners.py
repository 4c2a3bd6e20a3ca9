"""The runners that may ask for jobs, by token."""

from __future__ import annotations

from dataclasses import replace

from podlane.coordinator import tokens
from podlane.coordinator.rows import RunnerRow
from podlane.coordinator.store import Store


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

    def add(
        self, token: str, *, description: str = "", tags: tuple[str, ...] = (),
        run_untagged: bool = True,
    ) -> RunnerRow:  # fmt: skip
        """Add a runner, or return the one that has this token."""
        known = self.find(token)
        if known is not None:
            return known
        row = RunnerRow(
            id=self._store.next_id("runner"), token_hash=tokens.hashed(token),
            description=description, tags=tags, run_untagged=run_untagged,
        )  # fmt: skip
        self._store.save(row)
        self._by_hash[row.token_hash] = row
        return row

    def remove(self, runner: RunnerRow) -> None:
        """Forget a runner; its token is worth nothing from now on."""
        self._store.delete_runner(runner.id)
        self._by_hash.pop(runner.token_hash, None)

    def renew(self, runner: RunnerRow) -> str:
        """Return a new token for the runner; the old one is worth nothing from now on."""
        token = tokens.new_runner_token()
        self._by_hash.pop(runner.token_hash, None)
        row = replace(runner, token_hash=tokens.hashed(token))
        self._store.save(row)
        self._by_hash[row.token_hash] = row
        return token
