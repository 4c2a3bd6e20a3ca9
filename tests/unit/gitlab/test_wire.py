"""Encoding and tolerant decoding of the Runner API."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.gitlab import ranges, wire
from podlane.gitlab.errors import BadAnswerError, UnreadableJobError
from podlane.gitlab.info import FEATURE_NAMES, runner_info
from podlane.model.job import Job

SAMPLE = {
    "id": 10,
    "token": "job-token",
    "allow_git_fetch": True,
    "job_info": {"name": "test-job", "stage": "test", "project_id": 123, "project_name": "p"},
    "git_info": {
        "repo_url": "https://gitlab-ci-token:TOKEN@host/g/p.git",
        "ref": "main",
        "sha": "a" * 40,
        "before_sha": "0" * 40,
        "ref_type": "branch",
        "refspecs": ["+refs/heads/main:refs/remotes/origin/main"],
        "depth": 20,
    },
    "runner_info": {"timeout": 3600},
    "variables": [{"key": "CI", "value": "true", "public": True, "masked": False}],
    "steps": [{"name": "script", "script": ["date"], "timeout": 3600, "when": "on_success"}],
    "image": {"name": "ruby:3.3", "entrypoint": ["/bin/sh"]},
    "services": [{"name": "postgresql:9.5", "alias": "db-pg", "command": ["sleep", "30"]}],
    "artifacts": [{"name": "a.zip", "paths": ["out/*"], "when": "always", "expire_in": "7d"}],
    "cache": [{"key": "k", "untracked": False, "paths": ["vendor/*"], "policy": "push"}],
    "dependencies": [{"id": 9, "name": "o", "token": "t", "artifacts_file": {"filename": "b.zip"}}],
    "features": {"trace_sections": True, "failure_reasons": ["script_failure"]},
}


def sample_with(path: str, value: object) -> bytes:
    raw = json.loads(json.dumps(SAMPLE))
    parent = raw
    *parents, last = path.split(".")
    for key in parents:
        parent = parent[int(key)] if key.isdigit() else parent[key]
    parent[last] = value
    return json.dumps(raw).encode()


def test_a_job_is_decoded_into_the_model() -> None:
    job = wire.decode_job(json.dumps(SAMPLE).encode())
    assert job.id == 10
    assert job.git_info.depth == 20
    assert job.services is not None
    assert job.services[0].alias == "db-pg"
    assert job.timeout_seconds == 3600


def test_a_job_survives_encoding_and_decoding() -> None:
    job = wire.decode_job(json.dumps(SAMPLE).encode())
    assert wire.decode_job(wire.encode(job)) == job


def test_a_runner_written_in_go_is_told_what_is_not_zero() -> None:
    job = wire.decode_job(json.dumps(SAMPLE).encode())
    raw = json.loads(wire.encode_job(job))
    assert raw["allow_git_fetch"] is True
    assert raw["git_info"]["ref_type"] == "branch"
    assert wire.decode_job(wire.encode_job(job)) == job
    assert None not in raw.values()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("job_info.project_id", {"wrong": 1}),
        ("job_info", ["wrong"]),
        ("job_info.time_in_queue_seconds", "soon"),
        ("features.trace_sections", "perhaps"),
        ("features", None),
        ("services", None),
        ("variables", None),
        ("image", None),
        ("git_info.depth", "deep"),
        ("steps.0.timeout", []),
        ("cache", "none"),
        ("artifacts.0.expire_in", 7),
        ("runner_info.timeout", "3600"),
        ("id", "10"),
        ("unknown_field", {"x": [1, 2]}),
        ("run", None),
        ("run", ""),
        ("inputs", None),
        ("inputs", []),
        ("secrets", {}),
    ],
)
def test_a_wrong_type_where_no_job_needs_it_does_not_lose_the_job(path: str, value: object) -> None:
    job = wire.decode_job(sample_with(path, value))
    assert job.id == 10
    assert job.token == "job-token"
    assert job.steps[0].script == ("date",)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("steps", "date", "$.steps"),
        ("steps.0.script", {"a": 1}, "$.steps[0].script"),
        ("image.name", ["x"], "$.image.name"),
        ("variables.0.value", {}, "$.variables[0].value"),
        ("git_info.repo_url", 5, "$.git_info.repo_url"),
        ("run", '[{"step": "x"}]', "run"),
        ("inputs", "text", "$.inputs"),
        ("secrets", {"X": {"vault": "text"}}, "secrets"),
    ],
)
def test_what_is_needed_and_unreadable_fails_that_job_by_id_and_token(
    path: str, value: object, named: str
) -> None:
    with pytest.raises(UnreadableJobError) as caught:
        wire.decode_job(sample_with(path, value))
    assert (caught.value.job_id, caught.value.token) == (10, "job-token")
    assert named in caught.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"id": 3}', b"\xff\xfe", b"<html>"])
def test_what_names_no_job_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswerError):
        wire.decode_job(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.sampled_from(sorted(SAMPLE)),
)
def test_no_value_anywhere_raises_anything_but_our_errors(value: object, key: str) -> None:
    try:
        job = wire.decode_job(json.dumps(SAMPLE | {key: value}).encode())
    except (UnreadableJobError, BadAnswerError):
        return
    assert isinstance(job, Job)


def test_requests_are_read_tolerantly() -> None:
    body = b'{"state":"failed","info":{"features":null},"exit_code":"3","output":{"bytesize":"7"}}'
    update = wire.decode(body, wire.JobUpdate)
    assert (update.state, update.exit_code) == ("failed", 3)
    assert update.output == wire.TraceOutput(bytesize=7)


def test_info_carries_every_feature_name() -> None:
    info = msgspec.json.decode(wire.encode(runner_info(podlane_version="1")))
    assert list(info["features"]) == list(FEATURE_NAMES)
    assert len(FEATURE_NAMES) == 31
    assert info["features"]["trace_reset"] is True
    assert info["features"]["session"] is False


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"message":"403 Forbidden"}', "403 Forbidden"),
        (b'{"message":{"state":["is bad","is worse"]}}', "state: is bad, state: is worse"),
        (b'{"error":"insufficient_scope"}', "insufficient_scope"),
        (b"<html>", ""),
        (b"[1]", ""),
    ],
)
def test_an_error_answer_is_read_in_each_of_its_shapes(body: bytes, text: str) -> None:
    assert wire.error_text(body) == text


@given(st.integers(0, 2**40), st.integers(1, 2**20))
def test_content_ranges_are_read_back(start: int, length: int) -> None:
    assert ranges.parse_content_range(ranges.content_range(start, length)) == (start, length)


@pytest.mark.parametrize("raw", ["", "5", "5-3", "a-b", "-1-4", "0-"])
def test_a_malformed_content_range_is_none(raw: str) -> None:
    assert ranges.parse_content_range(raw) is None


@pytest.mark.parametrize(("raw", "size"), [("0-0", 0), ("0-24", 24), ("", None), ("1-3", None)])
def test_the_stored_range_tells_a_size_or_nothing(raw: str, size: int | None) -> None:
    assert ranges.parse_stored_range(raw) == size


def test_info_says_what_gitlab_keeps_of_a_runner() -> None:
    """GitLab lists each machine by these; a field that we leave out is shown as unknown."""
    request = wire.JobRequest(info=runner_info(podlane_version="1"), token="t")
    info = msgspec.json.decode(wire.encode(request))["info"]
    assert (info["name"], info["version"], info["platform"]) == ("gitlab-runner", "19.4.0", "linux")
    assert info["executor"] == "kubernetes"
    assert info["architecture"]
    assert info["config"] == {"gpus": ""}
    assert "labels" not in info
    labelled = runner_info(podlane_version="1", labels={"a": "b"})
    assert msgspec.json.decode(wire.encode(labelled))["labels"] == {"a": "b"}
