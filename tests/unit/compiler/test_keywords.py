"""The table of keywords is true: every keyword compiles, and exactly the refused ones are refused."""

from __future__ import annotations

import pytest
from scripts import keywords_reference

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context
from podlane.compiler.keywords import (
    artifacts,
    cache,
    environment,
    image,
    inherit,
    policy,
    rules,
    table,
    variables,
)
from podlane.compiler.keywords.job import BRIDGE_KEYS, DEFAULT_KEYS
from podlane.compiler.keywords.table import KEYWORDS, Status
from podlane.compiler.output.compilation import Compilation
from tests.fakes.files import MemoryFetcher

# A job that uses the keyword, as YAML below ``x:``.
SAMPLES = {
    "script": "script: echo",
    "before_script": "before_script: [a]\n  script: echo",
    "after_script": "after_script: [a]\n  script: echo",
    "run": "run: [{name: a, script: b}]",
    "stage": "stage: build\n  script: echo",
    "extends": "extends: .base\n  script: echo",
    "image": "image: a\n  script: echo",
    "services": "services: [a]\n  script: echo",
    "variables": "variables: {A: b}\n  script: echo",
    "rules": "rules: [{if: $CI}]\n  script: echo",
    "only": "only: [main]\n  script: echo",
    "except": "except: [other]\n  script: echo",
    "when": "when: always\n  script: echo",
    "start_in": "when: delayed\n  start_in: 1 hour\n  script: echo",
    "manual_confirmation": "when: manual\n  manual_confirmation: Sure?\n  script: echo",
    "allow_failure": "allow_failure: true\n  script: echo",
    "needs": "needs: [y]\n  script: echo",
    "dependencies": "dependencies: [y]\n  script: echo",
    "artifacts": "artifacts: {paths: [a]}\n  script: echo",
    "cache": "cache: {paths: [a]}\n  script: echo",
    "parallel": "parallel: 2\n  script: echo",
    "retry": "retry: 1\n  script: echo",
    "timeout": "timeout: 1h\n  script: echo",
    "interruptible": "interruptible: true\n  script: echo",
    "resource_group": "resource_group: a\n  script: echo",
    "environment": "environment: a\n  script: echo",
    "coverage": "coverage: '/a b/'\n  script: echo",
    "release": "release: {tag_name: a, description: b}\n  script: echo",
    "trigger": "trigger: {include: child.yml}",
    "tags": "tags: [a]\n  script: echo",
    "inherit": "inherit: {default: false}\n  script: echo",
    "hooks": "hooks: {pre_get_sources_script: [a]}\n  script: echo",
    "id_tokens": "id_tokens: {A: {aud: b}}\n  script: echo",
    "identity": "identity: google_cloud\n  script: echo",
    "secrets": "secrets: {A: {vault: a/b@c, token: $T}}\n  script: echo",
    "dast_configuration": "dast_configuration: {site_profile: a}\n  script: echo",
    "pages": "pages: true\n  script: echo",
    "publish": "pages: true\n  publish: dist\n  script: echo",
    "inputs": "inputs: {a: {default: b}}\n  script: echo",
}
JOB_KEYWORDS = [k for k in KEYWORDS if k.scope == "job" and ":" not in k.name]


def compiled(body: str) -> Compilation:
    text = f".base: {{tags: []}}\ny:\n  stage: build\n  script: echo\nx:\n  {body}\n"
    return compile_pipeline(".gitlab-ci.yml", MemoryFetcher({".gitlab-ci.yml": text}), Context())


@pytest.mark.parametrize("keyword", JOB_KEYWORDS, ids=lambda keyword: keyword.name)
def test_a_keyword_compiles_and_is_refused_exactly_if_the_table_says_so(
    keyword: table.Keyword,
) -> None:
    compilation = compiled(SAMPLES[keyword.name])
    assert compilation.diagnostics == ()
    refused = [d for d in compilation.run_refusals if f":{keyword.name}`" in d.message]
    assert bool(refused) is (keyword.status is Status.REFUSED)
    for finding in refused:
        assert finding.place.line == 6 + SAMPLES[keyword.name].split(f"{keyword.name}:")[0].count(
            "\n"
        )
        assert keyword.note in finding.message


def test_every_keyword_has_a_sample_and_every_sample_a_keyword() -> None:
    assert {keyword.name for keyword in JOB_KEYWORDS} == set(SAMPLES)


def test_no_keyword_stands_twice_and_every_exception_has_a_reason() -> None:
    names = [(keyword.scope, keyword.name) for keyword in KEYWORDS]
    assert len(names) == len(set(names))
    assert [k.name for k in KEYWORDS if k.status is not Status.SUPPORTED and not k.note] == []


@pytest.mark.parametrize(
    ("keyword", "keys"),
    [
        ("image", image.IMAGE_KEYS),
        ("services", image.SERVICE_KEYS),
        ("artifacts", artifacts.KEYS),
        ("cache", cache.KEYS),
        ("environment", environment.KEYS),
        ("only", policy.KEYS),
        ("except", policy.KEYS),
        ("rules", rules.JOB.keys),
    ],
)
def test_every_subkey_is_in_the_table(keyword: str, keys: tuple[str, ...]) -> None:
    listed = {k.name for k in KEYWORDS if k.scope == "job"}
    assert [key for key in keys if f"{keyword}:{key}" not in listed] == []


def test_bridges_and_defaults_take_known_keywords_only() -> None:
    known = set(table.names("job"))
    assert set(BRIDGE_KEYS) <= known
    assert set(DEFAULT_KEYS) <= known
    assert {f"variables:{key}" for key in variables.GLOBAL_KEYS} <= {k.name for k in KEYWORDS}
    assert inherit.check_inherit.__doc__


def test_an_unknown_keyword_is_an_error() -> None:
    (finding,) = compiled("scripts: echo\n  script: echo").diagnostics
    assert finding.message == "jobs:x config contains unknown keys: scripts"
    assert finding.hint == "did you mean `script`?"


def test_the_page_of_keywords_is_current() -> None:
    assert keywords_reference.PAGE.read_text() == keywords_reference.render(), "run: make docs"
