"""Child pipelines as they can be told before a run: what is wrong with them, and what they include."""

from __future__ import annotations

from pathlib import Path

import pytest

from podlane.cli.main import main
from podlane.cli.project.children import Child, known
from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context
from tests.fakes.files import MemoryFetcher


def children(main_file: str, **files: str) -> dict[str, Child]:
    fetcher = MemoryFetcher(
        {".gitlab-ci.yml": main_file, **{f"{name}.yml": text for name, text in files.items()}}
    )
    context = Context()
    compilation = compile_pipeline(".gitlab-ci.yml", fetcher, context)
    assert compilation.pipeline is not None, compilation.diagnostics
    return {one.name: one for one in known(compilation.pipeline, fetcher, context)}


def told(child: Child) -> list[str]:
    return [f"{one.place} {one.severity}: {one.message}" for one in child.findings()]


def test_what_is_wrong_with_a_child_is_a_warning_with_its_place() -> None:
    found = children(
        "go: {trigger: {include: child.yml}}\nlost: {trigger: {include: nope.yml}}\n",
        child="work: {scripts: [a], script: [b]}\n",
    )
    assert told(found["go"]) == [
        "child.yml:1:8 warning: child pipeline of go: jobs:work config contains unknown keys: scripts"
    ]
    assert told(found["lost"]) == [
        ".gitlab-ci.yml:2:27 warning: child pipeline of lost: Local file `nope.yml` does not exist!"
    ]


def test_children_of_children_are_known_with_the_variables_of_their_bridges() -> None:
    found = children(
        "go: {variables: {NEXT: second.yml}, trigger: {include: first.yml}}\n",
        first="more: {variables: {NEXT: $NEXT}, trigger: {include: [{local: $NEXT}]}}\n",
        second="deep: {trigger: {include: third.yml}}\n",
        third="work: {script: echo}\n",
    )
    assert list(found) == ["go", "go > more"]  # the third would be one too many
    pipeline = found["go > more"].compilation.pipeline
    assert pipeline is not None
    assert [job.name for job in pipeline.jobs] == ["deep"]


def test_rules_that_keep_all_out_and_files_that_jobs_make_are_no_findings() -> None:
    found = children(
        "a: {trigger: {include: none.yml}}\nb: {trigger: {include: empty.yml}}\n"
        "make: {stage: build, script: echo}\n"
        "c: {trigger: {include: [{artifact: x.yml, job: make}]}}\n",
        none="workflow: {rules: [{if: $LATER}]}\nx: {script: echo}\n",
        empty="x: {script: echo, rules: [{if: $LATER}]}\n",
    )
    assert {name: told(child) for name, child in found.items()} == {"a": [], "b": []}


def test_lint_tells_of_children_and_finds_the_parent_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".gitlab-ci.yml").write_text("go: {trigger: {include: child.yml}}\n")
    (tmp_path / "child.yml").write_text(
        "work: {release: {tag_name: a, description: b}, script: b}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["lint"]) == 0
    said = capsys.readouterr()
    assert ".gitlab-ci.yml: valid, 1 job" in said.out
    assert (
        "child.yml:1:8: warning: child pipeline of go: `jobs:work:release` cannot be run"
        in said.err
    )
