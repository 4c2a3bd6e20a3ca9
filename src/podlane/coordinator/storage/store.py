"""Pipelines, jobs, runners and artifacts in SQLite.

Calls are made in the event loop on purpose: a write in WAL mode without fsync takes 7 microseconds
(a hop to a worker thread: 100), and a transition is on disk before anybody is told of it. What does
sync, the checkpoint, is :meth:`checkpoint`, for a worker thread. Safe against ``kill -9``; a power
cut may lose the last transitions, never the file.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from pathlib import Path

import msgspec

from podlane.coordinator.storage.rows import ArtifactRow, JobRow, PipelineRow, RunnerRow
from podlane.coordinator.submission import Snapshot, Submission
from podlane.kit.errors import PermanentError, PodlaneError
from podlane.model.states import JobState

SCHEMA_VERSION = 4
_SCHEMA = """
CREATE TABLE pipelines (
  id INTEGER PRIMARY KEY, submission BLOB NOT NULL, snapshot BLOB NOT NULL,
  created_at REAL NOT NULL, finished_at REAL, status TEXT NOT NULL, bridge_id INTEGER);
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY, pipeline_id INTEGER NOT NULL, name TEXT NOT NULL,
  attempt INTEGER NOT NULL, retried INTEGER NOT NULL, state TEXT NOT NULL, runner_id INTEGER,
  created_at REAL NOT NULL, started_at REAL, finished_at REAL, failure_reason TEXT,
  exit_code INTEGER, timeout_seconds INTEGER NOT NULL DEFAULT 0);
CREATE INDEX jobs_of_pipeline ON jobs (pipeline_id);
CREATE TABLE runners (
  id INTEGER PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, description TEXT NOT NULL,
  tags TEXT NOT NULL, run_untagged INTEGER NOT NULL,
  locked INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0,
  protected_only INTEGER NOT NULL DEFAULT 0, maximum_timeout INTEGER NOT NULL DEFAULT 0);
CREATE TABLE artifacts (
  job_id INTEGER NOT NULL, type TEXT NOT NULL, format TEXT NOT NULL, filename TEXT NOT NULL,
  path TEXT NOT NULL, size INTEGER NOT NULL, created_at REAL NOT NULL, expire_in TEXT NOT NULL,
  PRIMARY KEY (job_id, type));
CREATE TABLE sequences (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_STEPS = {  # from each older version to the next
    1: """
ALTER TABLE runners ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runners ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runners ADD COLUMN protected_only INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runners ADD COLUMN maximum_timeout INTEGER NOT NULL DEFAULT 0;
""",
    2: "ALTER TABLE pipelines ADD COLUMN bridge_id INTEGER;",
    3: "ALTER TABLE jobs ADD COLUMN timeout_seconds INTEGER NOT NULL DEFAULT 0;",
}


class Store:
    """The database of one coordinator."""

    def __init__(self, path: Path) -> None:
        """Open or create the database.

        Raises:
            PermanentError: it cannot be opened, or a newer version wrote it.
        """
        self._path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA wal_autocheckpoint=0")
            self._migrate()
        except sqlite3.Error as error:
            raise _explained(path, error) from error

    def _migrate(self) -> None:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise PermanentError(
                f"{self._path} was written by a newer Podlane (schema {version})",
                hint="use that version, or another data directory",
            )
        if version < SCHEMA_VERSION:
            older = range(version, SCHEMA_VERSION)
            steps = "".join(_STEPS[each] for each in older) if version else _SCHEMA
            self._db.executescript(f"BEGIN; {steps} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")

    def close(self) -> None:
        """Write everything into the main file and close."""
        with contextlib.suppress(sqlite3.Error):  # a full disk must not hide why we are closing
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def checkpoint(self) -> None:
        """Move the log into the main file; for a worker thread, over a connection of its own."""
        db = sqlite3.connect(self._path, isolation_level=None, timeout=0.0)
        try:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            db.close()

    def next_id(self, name: str) -> int:
        """Return a number of the sequence ``name`` that was never returned before."""
        row = self._execute(
            "INSERT INTO sequences VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
            " RETURNING value",
            (name,),
        )
        return int(row[0][0])

    def save(self, *rows: PipelineRow | JobRow | RunnerRow | ArtifactRow) -> None:
        """Insert or replace rows, all of them or none.

        Raises:
            PodlaneError: the disk is full or broken.
        """
        with self._transaction():
            for row in rows:
                self._save(row)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _explained(self._path, error) from error

    def _save(self, row: PipelineRow | JobRow | RunnerRow | ArtifactRow) -> None:
        match row:
            case PipelineRow():
                values: tuple[object, ...] = (
                    row.id, msgspec.json.encode(row.submission), msgspec.json.encode(row.snapshot),
                    row.created_at, row.finished_at, row.status, row.bridge_id,
                )  # fmt: skip
                self._db.execute("INSERT OR REPLACE INTO pipelines VALUES (?,?,?,?,?,?,?)", values)
            case JobRow():
                marks = ",".join("?" * 13)
                self._db.execute(f"INSERT OR REPLACE INTO jobs VALUES ({marks})", astuple(row))  # noqa: S608 - only marks
            case RunnerRow():
                values = (
                    row.id, row.token_hash, row.description, json.dumps(row.tags),
                    row.run_untagged, row.locked, row.paused, row.protected_only,
                    row.maximum_timeout,
                )  # fmt: skip
                self._db.execute(
                    "INSERT OR REPLACE INTO runners VALUES (?,?,?,?,?,?,?,?,?)", values
                )
            case ArtifactRow():
                self._db.execute(
                    "INSERT OR REPLACE INTO artifacts VALUES (?,?,?,?,?,?,?,?)", astuple(row)
                )

    def delete_runner(self, runner_id: int) -> None:
        """Forget a runner."""
        self._execute("DELETE FROM runners WHERE id = ?", (runner_id,))

    def delete_pipelines(self, *pipeline_ids: int) -> None:
        """Forget pipelines with their jobs and artifacts, all of them or none.

        Raises:
            PodlaneError: the disk is full or broken.
        """
        jobs = "(SELECT id FROM jobs WHERE pipeline_id = ?)"
        ids = [(each,) for each in pipeline_ids]
        with self._transaction():
            self._db.executemany(f"DELETE FROM artifacts WHERE job_id IN {jobs}", ids)  # noqa: S608 - ours
            self._db.executemany("DELETE FROM jobs WHERE pipeline_id = ?", ids)
            self._db.executemany("DELETE FROM pipelines WHERE id = ?", ids)

    def delete_artifact(self, row: ArtifactRow) -> None:
        """Forget an artifact."""
        self._execute("DELETE FROM artifacts WHERE job_id = ? AND type = ?", (row.job_id, row.type))

    def pipelines(self, *, limit: int) -> list[PipelineRow]:
        """Return the newest pipelines and all unfinished ones, oldest first."""
        rows = self._execute(
            "SELECT * FROM pipelines WHERE status = '' OR id IN"
            " (SELECT id FROM pipelines ORDER BY id DESC LIMIT ?) ORDER BY id",
            (limit,),
        )
        return [
            PipelineRow(
                id=row[0],
                submission=msgspec.json.decode(row[1], type=Submission),
                snapshot=msgspec.json.decode(row[2], type=Snapshot),
                created_at=row[3],
                finished_at=row[4],
                status=row[5],
                bridge_id=row[6],
            )
            for row in rows
        ]

    def jobs(self, pipeline_id: int) -> list[JobRow]:
        """Return a pipeline's jobs, by id."""
        rows = self._execute("SELECT * FROM jobs WHERE pipeline_id = ? ORDER BY id", (pipeline_id,))
        return [
            JobRow(
                id=row[0], pipeline_id=row[1], name=row[2], attempt=row[3], retried=bool(row[4]),
                state=JobState(row[5]), runner_id=row[6], created_at=row[7], started_at=row[8],
                finished_at=row[9], failure_reason=row[10], exit_code=row[11],
                timeout_seconds=row[12],
            )
            for row in rows
        ]  # fmt: skip

    def runners(self) -> list[RunnerRow]:
        """Return all runners."""
        return [
            RunnerRow(
                id=row[0], token_hash=row[1], description=row[2], tags=tuple(json.loads(row[3])),
                run_untagged=bool(row[4]), locked=bool(row[5]), paused=bool(row[6]),
                protected_only=bool(row[7]), maximum_timeout=row[8],
            )
            for row in self._execute("SELECT * FROM runners ORDER BY id")
        ]  # fmt: skip

    def artifacts(self, job_ids: Iterable[int]) -> list[ArtifactRow]:
        """Return what these jobs uploaded."""
        return [
            ArtifactRow(
                job_id=row[0], type=row[1], format=row[2], filename=row[3], path=row[4],
                size=row[5], created_at=row[6], expire_in=row[7],
            )
            for job_id in job_ids
            for row in self._execute("SELECT * FROM artifacts WHERE job_id = ?", (job_id,))
        ]  # fmt: skip

    def _execute(self, sql: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _explained(self._path, error) from error


def _explained(path: Path, error: sqlite3.Error) -> PodlaneError:
    text = str(error)
    hint = "check the data directory's permissions"
    if "full" in text:
        hint = "free some space, or use another data directory"
    elif "malformed" in text or "not a database" in text:
        hint = "move the file away; the coordinator starts with an empty one"
    elif "locked" in text:
        hint = "another coordinator uses this data directory; stop it or use another directory"
    return PermanentError(f"cannot use the database {path}: {text}", hint=hint)
