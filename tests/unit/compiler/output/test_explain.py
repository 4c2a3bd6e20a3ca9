"""Explanations name the rule, its operands, and the place of every keyword; graphs name every need."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context
from podlane.compiler.output import drawing
from podlane.compiler.output.compilation import Compilation
from podlane.compiler.output.explain import explain_job, explain_text
from tests.fakes.files import MemoryFetcher

FILES = {
    ".gitlab-ci.yml": """\
include: ci/base.yml
stages: [build, test]
default:
  image: alpine
.anchor: &a
  tags: [linux]
build:
  stage: build
  script: make
x:
  <<: *a
  extends: .base
  variables:
    B: mine
  needs: [build]
  rules:
    - if: $CI_COMMIT_TAG
    - if: $CI_COMMIT_BRANCH == "main" && $NOPE == null
      when: manual
out:
  stage: build
  script: echo
  rules:
    - if: $NOPE
""",
    "ci/base.yml": """\
.base:
  script: echo
  variables:
    A: base
    B: base
""",
}


def compiled() -> Compilation:
    result = compile_pipeline(".gitlab-ci.yml", MemoryFetcher(FILES), Context())
    assert result.pipeline is not None, result.diagnostics
    return result


def origin(keyword: str) -> tuple[object, object]:
    found = explain_job(compiled(), "x")
    assert found is not None
    listed = found["origins"]
    assert isinstance(listed, list)
    for item in listed:
        if isinstance(item, dict) and item["keyword"] == keyword:
            return item["at"], item["via"]
    raise AssertionError(keyword)


def test_a_keyword_of_the_job_itself_has_its_place() -> None:
    assert origin("needs") == (".gitlab-ci.yml:15:3", [])


def test_a_keyword_of_a_base_names_the_base_and_the_file() -> None:
    assert origin("script") == ("ci/base.yml:2:3", ["extends .base", "include ci/base.yml"])


def test_variables_are_told_apart() -> None:
    assert origin("variables:A") == ("ci/base.yml:4:5", ["extends .base", "include ci/base.yml"])
    assert origin("variables:B") == (".gitlab-ci.yml:14:5", [])


def test_a_default_is_named() -> None:
    assert origin("image") == (".gitlab-ci.yml:4:3", ["default"])


def test_a_merge_key_names_the_anchor() -> None:
    assert origin("tags") == (".gitlab-ci.yml:6:3", ["anchor in .anchor"])


def test_rules_are_told_with_the_values_of_their_operands() -> None:
    text = "\n".join(explain_text(compiled(), "x"))
    assert "✗ .gitlab-ci.yml:17:7" in text
    assert "$CI_COMMIT_TAG = undefined" in text
    assert "✓ .gitlab-ci.yml:18:7" in text
    assert "$CI_COMMIT_BRANCH = 'main'" in text
    assert "x: in the pipeline, when: manual" in text


def test_a_job_that_is_left_out_is_explained_too() -> None:
    assert explain_text(compiled(), "out")[0] == "out: not in the pipeline: no rule matched"
    assert explain_job(compiled(), "nope") is None


def test_a_job_without_rules_is_not_for_merge_requests() -> None:
    files = {".gitlab-ci.yml": "x: {script: echo}\ny: {script: echo, rules: [{when: always}]}\n"}
    context = Context(source="merge_request_event", ref="main")
    compilation = compile_pipeline(".gitlab-ci.yml", MemoryFetcher(files), context)
    assert compilation.decisions["x"].reason == (
        "it has no rules, so it is for branches and tags only"
    )
    assert compilation.decisions["y"].included


def test_the_graph_has_every_need() -> None:
    pipeline = compiled().pipeline
    assert pipeline is not None
    assert drawing.edges(pipeline) == [("build", "x")]
    assert drawing.as_text(pipeline) == ["build", "└─ build", "test", "└─ x  ← build [manual]"]
    assert "  j0 --> j1" in drawing.as_mermaid(pipeline)
    image = ET.fromstring(drawing.as_svg(pipeline))
    assert len([node for node in image.iter() if node.tag.endswith("path")]) == 1


def test_without_needs_a_job_waits_for_the_stage_before() -> None:
    jobs = (("a", "build"), ("b", "build"), ("c", "deploy"))
    text = "".join(f"{name}:\n  stage: {stage}\n  script: echo\n" for name, stage in jobs)
    pipeline = compile_pipeline("f", MemoryFetcher({"f": text}), Context()).pipeline
    assert pipeline is not None
    assert drawing.edges(pipeline) == [("a", "c"), ("b", "c")]


def test_the_graph_and_the_list_of_needs_know_bridges() -> None:
    text = (
        "go:\n  trigger:\n    include:\n      - child.yml\n"
        "      - {artifact: made.yml, job: make}\n      - {project: g/p, file: [a.yml, b.yml]}\n"
        "make: {stage: build, script: echo}\n"
    )
    files = {".gitlab-ci.yml": text}
    pipeline = compile_pipeline(".gitlab-ci.yml", MemoryFetcher(files), Context()).pipeline
    assert pipeline is not None
    bridge = pipeline.jobs[0].trigger
    assert bridge is not None
    assert bridge.files == ("child.yml", "made.yml", "g/p a.yml b.yml")
    assert (bridge.artifact_jobs, bridge.place) == (("make",), ".gitlab-ci.yml:4:7")
    assert drawing.as_text(pipeline)[-1] == (
        "└─ go  → child pipeline of child.yml, made.yml, g/p a.yml b.yml"
    )
    assert '    j0[["go"]]' in drawing.as_mermaid(pipeline)
