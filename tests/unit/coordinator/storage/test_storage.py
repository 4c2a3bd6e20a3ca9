"""Rows in SQLite, bytes on disk, tokens in files."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from podlane.coordinator.storage import tokens
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.rows import ArtifactRow, JobRow, PipelineRow, RunnerRow
from podlane.coordinator.storage.store import Store
from podlane.coordinator.submission import Snapshot, Submission
from podlane.kit.errors import PermanentError
from podlane.model.pipeline import Pipeline, PipelineJob
from podlane.model.states import JobState

PIPELINE = PipelineRow(
    id=1,
    submission=Submission(
        pipeline=Pipeline(
            stages=("test",), jobs=(PipelineJob(name="a", stage="test", script=("x",)),)
        ),
        source="/src",
    ),
    snapshot=Snapshot(
        repository="r", project_path="g/p", sha="a" * 40, before_sha="0" * 40, ref="main"
    ),
    created_at=1.5,
)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    job = JobRow(
        id=3,
        pipeline_id=1,
        name="a",
        state=JobState.FAILED,
        exit_code=4,
        attempt=2,
        timeout_seconds=9,
    )
    runner = RunnerRow(
        id=2, token_hash="h", tags=("x", "y"), run_untagged=False, locked=True, paused=True,
        protected_only=True, maximum_timeout=60,
    )  # fmt: skip
    artifact = ArtifactRow(
        job_id=3, type="archive", format="zip", filename="a.zip", path="3/archive", size=9,
        created_at=2.0,
    )  # fmt: skip
    store = Store(tmp_path / "db")
    store.save(PIPELINE, job, runner, artifact)
    store.close()
    again = Store(tmp_path / "db")
    assert again.pipelines(limit=5) == [PIPELINE]
    assert again.jobs(1) == [job]
    assert again.runners() == [runner]
    assert again.artifacts([3, 4]) == [artifact]
    again.close()


def test_a_database_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    Store(tmp_path / "db").close()
    db = sqlite3.connect(tmp_path / "db")
    for column in ("locked", "paused", "protected_only", "maximum_timeout"):
        db.execute(f"ALTER TABLE runners DROP COLUMN {column}")
    db.execute("ALTER TABLE pipelines DROP COLUMN bridge_id")
    db.execute("ALTER TABLE jobs DROP COLUMN timeout_seconds")
    db.execute("INSERT INTO runners VALUES (1, 'h', '', '[]', 1)")
    db.execute("INSERT INTO jobs VALUES (1, 1, 'a', 1, 0, 'running', 1, 0, 0, 0, NULL, NULL)")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()
    store = Store(tmp_path / "db")
    assert store.runners() == [RunnerRow(id=1, token_hash="h")]
    assert [job.timeout_seconds for job in store.jobs(1)] == [0]
    store.close()


def test_all_rows_are_saved_or_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    broken = JobRow(id=1, pipeline_id=1, name=None)  # type: ignore[arg-type] # what the database must refuse
    with pytest.raises(PermanentError, match="cannot use the database"):
        store.save(PIPELINE, broken)
    assert store.pipelines(limit=5) == []
    store.close()


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    assert [store.next_id("job"), store.next_id("job"), store.next_id("pipeline")] == [1, 2, 1]
    store.close()
    again = Store(tmp_path / "db")
    assert again.next_id("job") == 3
    again.close()


def test_a_newer_database_is_not_touched(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "db")
    db.execute("PRAGMA user_version=99")
    db.commit()
    db.close()
    with pytest.raises(PermanentError, match="newer Podlane"):
        Store(tmp_path / "db")


def test_a_checkpoint_does_not_disturb(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    store.save(PIPELINE)
    store.checkpoint()
    assert store.pipelines(limit=1) == [PIPELINE]
    store.close()


def blobs(tmp_path: Path) -> Blobs:
    made = Blobs(tmp_path)
    made.prepare()
    return made


def test_a_trace_grows_and_is_read_by_offset(tmp_path: Path) -> None:
    store = blobs(tmp_path)
    store.append_trace(1, 0, b"hello ")
    store.append_trace(1, 6, b"world")
    assert store.read_trace(1, 3, 5) == b"lo wo"
    measured = store.measure_trace(1, finished=False)
    assert (measured.size, measured.checksum) == (11, "crc32:0d4a1185")
    assert store.measure_trace(1, finished=True).size == 11
    assert store.measure_trace(2, finished=True).size == 0
    assert store.read_trace(2, 0, 9) == b""


def test_a_full_disk_leaves_the_trace_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = blobs(tmp_path)
    store.append_trace(1, 0, b"kept")
    real = os.pwrite

    def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        if offset >= 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:2], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space"):
        store.append_trace(1, 4, b"lost")
    assert store.trace_path(1).read_bytes() == b"kept"


def test_an_upload_is_visible_only_when_complete(tmp_path: Path) -> None:
    store = blobs(tmp_path)
    file = store.begin_upload()
    file.write(b"content")
    assert not store.artifact_path("1/archive").exists()
    store.finish_upload(file, "1/archive")
    assert store.artifact_path("1/archive").read_bytes() == b"content"


def test_job_tokens_are_derived_and_differ(tmp_path: Path) -> None:
    maker = tokens.TokenMaker(bytes(32))
    assert maker.job_token(1) != maker.job_token(2)
    assert maker.is_job_token(1, maker.job_token(1))
    assert not maker.is_job_token(1, maker.job_token(2))
    assert not maker.is_job_token(1, "")
    assert maker.job_token(1).startswith("glcbt-")
    assert maker.job_token(1) != tokens.TokenMaker(b"x" * 32).job_token(1)


def test_a_secret_file_is_made_once_and_only_ours(tmp_path: Path) -> None:
    first = tokens.secret_file(tmp_path / "key", "one")
    assert tokens.secret_file(tmp_path / "key", "two") == first == "one"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
