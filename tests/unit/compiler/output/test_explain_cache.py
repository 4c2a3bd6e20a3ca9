"""The keys of a job's caches, as ``podlane explain`` tells them."""

from __future__ import annotations

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context
from podlane.compiler.output.explain import explain_job, explain_text
from tests.fakes.files import MemoryFetcher

FILES = {
    ".gitlab-ci.yml": """
default:
  cache:
    - key: {files: [web/app.lock]}
      fallback_keys: [app-main, app]
    - key: {files_commits: [none], prefix: $CI_JOB_NAME}
      unprotect: true
a: {script: echo}
b: {script: echo, cache: []}
c: {script: echo, rules: [{when: never}]}
""",
    "web/app.lock": "hello\n",
}
KEY = "0_web/app-126780f1d4ae55fc826963e2e5d7ba7916e8903f"


def test_the_keys_are_told_in_the_order_they_are_tried() -> None:
    compilation = compile_pipeline(".gitlab-ci.yml", MemoryFetcher(FILES), Context())
    assert explain_text(compilation, "a")[-3:] == [
        "its cache keys, before -protected or -non_protected is put behind them:",
        f"  {KEY}, else app-main, else app",
        "  $CI_JOB_NAME-default",
    ]
    document = explain_job(compilation, "a")
    assert document is not None
    assert document["cache_keys"] == [[KEY, "app-main", "app"], ["$CI_JOB_NAME-default"]]


def test_a_job_without_caches_says_nothing_of_them() -> None:
    compilation = compile_pipeline(".gitlab-ci.yml", MemoryFetcher(FILES), Context())
    for name in ("b", "c"):
        assert "cache keys" not in "\n".join(explain_text(compilation, name))
        assert "cache_keys" not in (explain_job(compilation, name) or {"cache_keys": None})
