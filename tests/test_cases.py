"""The compiler's corpus: one folder of ``tests/cases`` per case.

A folder holds the project's files and ``case.yml``: ``about`` (a sentence), ``source`` (where the
expected values come from: GitLab's documentation, specs or code; never our own output), ``context`` and
``expect``. In it: ``jobs`` (all names; with a map, the fields to compare), ``excluded``, ``stages``,
``workflow``, ``variables``, ``errors`` (all of them, as ``message`` or ``message @ file:line:column``),
``warnings`` and ``refused`` (parts of the messages).

``tests/cases/keywords`` has a file per entry of GitLab's configuration: ``source``, and ``cases`` of one
``config`` with all ``errors`` that GitLab's validators gave for it when they were run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context
from podlane.compiler.facts import Event, GitFacts, MergeRequest
from podlane.compiler.output.compilation import Compilation
from podlane.compiler.output.present import pipeline_document
from podlane.kit.diagnostics import Severity
from podlane.model.job import Variable
from tests.fakes.files import MemoryFetcher

CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(path.parent for path in CASES.rglob("case.yml"))
ENTRIES = sorted((CASES / "keywords").glob("*.yml"))


def context_of(given: dict[str, Any]) -> Context:
    event = Event(given.get("event", "push"))
    git = GitFacts(**{"sha": "a" * 40, "message": "Title\n", **given.get("git", {})})
    request = None
    if event is Event.MERGE_REQUEST:
        request = MergeRequest(
            **{"target_branch": git.default_branch, **given.get("merge_request", {})}
        )
    return Context(
        source=given.get("source", event.source),
        ref=given.get("ref", "main"),
        tag=event is Event.TAG,
        sha=git.sha,
        git=git,
        merge_request=request,
        project=tuple(
            Variable(
                key=key,
                value=value["value"],
                raw=value.get("raw", False),
                masked=value.get("masked", False),
            )
            if isinstance(value, dict)
            else Variable(key=key, value=value)
            for key, value in given.get("project", {}).items()
        ),
        given=tuple(
            Variable(key=key, value=value) for key, value in given.get("variables", {}).items()
        ),
        inputs=given.get("inputs", {}),
    )


def compile_case(folder: Path, case: dict[str, Any]) -> Compilation:
    given = case.get("context", {})
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "case.yml" and "_remote" not in path.parts
    }
    files |= dict.fromkeys(given.get("files", []), b"x")
    changes: dict[str | None, list[str]] = {}
    if "changes" in given:
        changes[None] = given["changes"]
    changes |= given.get("compare", {})
    remotes = {
        address: (folder / "_remote" / name).read_bytes()
        for address, name in given.get("remotes", {}).items()
    }
    fetcher = MemoryFetcher(files, changes, remotes, given.get("commits", {}))
    return compile_pipeline(given.get("file", ".gitlab-ci.yml"), fetcher, context_of(given))


def subset(expected: Any, actual: Any) -> Any:
    """Return ``actual`` reduced to what ``expected`` speaks of, for a readable comparison."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {key: subset(value, actual.get(key)) for key, value in expected.items()}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [subset(one, other) for one, other in zip(expected, actual, strict=True)]
    return actual


def check_errors(expected: list[str], compilation: Compilation) -> None:
    found = [d for d in compilation.diagnostics if d.severity is Severity.ERROR]
    messages = [d.message for d in found]
    placed = [f"{d.message} @ {d.place}" for d in found]
    shown = [two if two in expected else one for one, two in zip(messages, placed, strict=True)]
    assert sorted(shown) == sorted(expected), placed


def check_jobs(expected: Any, document: dict[str, Any]) -> None:
    assert list(document["jobs"]) == list(expected)
    if isinstance(expected, dict):
        for name, fields in expected.items():
            if fields is not None:
                assert subset(fields, document["jobs"][name]) == fields, name


@pytest.mark.parametrize("folder", FOLDERS, ids=[str(f.relative_to(CASES)) for f in FOLDERS])
def test_case(folder: Path) -> None:
    case = yaml.safe_load((folder / "case.yml").read_text())
    assert case["about"]
    assert case["source"]
    expect = case["expect"]
    compilation = compile_case(folder, case)
    check_errors(expect.get("errors", []), compilation)
    document: Any = pipeline_document(compilation)
    if "jobs" in expect:
        check_jobs(expect["jobs"], document)
    if "excluded" in expect:
        assert sorted(document["excluded"]) == sorted(expect["excluded"])
    for key in ("stages", "workflow", "variables"):
        if key in expect:
            assert subset(expect[key], document[key]) == expect[key]
    for part in expect.get("warnings", []):
        assert any(part in warning for warning in document["warnings"]), document["warnings"]
    if "warnings" not in expect:
        assert document["warnings"] == []
    refused = [d.message for d in compilation.run_refusals]
    for part in expect.get("refused", []):
        assert any(part in message for message in refused), refused
    if "refused" not in expect and not expect.get("errors"):
        assert refused == []


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
def test_a_keyword_has_the_errors_of_gitlab(path: Path) -> None:
    listed = yaml.safe_load(path.read_text())
    assert listed["source"]
    assert listed["cases"]
    for case in listed["cases"]:
        fetcher = MemoryFetcher({".gitlab-ci.yml": case["config"]})
        compilation = compile_pipeline(".gitlab-ci.yml", fetcher, Context())
        found = {
            d.message
            for d in compilation.diagnostics
            if d.severity is Severity.ERROR and d.code not in ("workflow", "empty")
        }
        assert sorted(found) == case["errors"], case["config"]


def test_there_are_cases() -> None:
    assert FOLDERS
    assert ENTRIES
