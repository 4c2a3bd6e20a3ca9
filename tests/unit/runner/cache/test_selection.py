"""Which caches a job has, and under which keys they are looked for."""

from __future__ import annotations

import pytest
from tests.fakes.jobs import a_job

from podlane.model.job import Cache, GitInfo, JobInfo, Variable
from podlane.model.variables import Variables
from podlane.runner.cache import keys, selection
from podlane.runner.cache.selection import JobCache, UnknownPolicyError
from podlane.runner.configuration import feature_flags


def select(*caches: Cache, hashing: bool = False, **variables: str) -> tuple[JobCache, ...]:
    job = a_job(
        "make", cache=caches, job_info=JobInfo(name="some-job"), git_info=GitInfo(ref="some-ref")
    )
    given = Variables([Variable(key=key, value=value) for key, value in variables.items()])
    flags = dict(feature_flags.DEFAULTS) | {"FF_HASH_CACHE_KEYS": hashing}
    return selection.of_job(job, given.expanded(), flags)


def names(cache: JobCache) -> list[str]:
    return [key.name for key in cache.keys]


def test_a_cache_without_files_is_none() -> None:
    assert select(Cache(key="k"), Cache(key="k", paths=())) == ()
    assert len(select(Cache(key="k", untracked=True))) == 1


def test_without_a_key_it_is_job_and_ref() -> None:
    assert names(select(Cache(paths=("x",)))[0]) == ["some-job/some-ref"]


def test_fallbacks_come_after_the_key_and_the_variable_last() -> None:
    cache = Cache(key="$REF-x", paths=("x",), fallback_keys=("$REF", "", "b"))
    found = select(cache, REF="r/1", CACHE_FALLBACK_KEY="all")[0]
    assert names(found) == ["r/1-x", "r/1", "b", "all"]
    assert found.warnings == ()


def test_a_key_is_looked_for_once() -> None:
    found = select(Cache(key="a", paths=("x",), fallback_keys=("b", "a")), CACHE_FALLBACK_KEY="b")
    assert names(found[0]) == ["a", "b"]


def test_a_protected_cache_is_no_fallback() -> None:
    found = select(Cache(key="a", paths=("x",)), CACHE_FALLBACK_KEY="main-protected")[0]
    assert names(found) == ["a"]
    assert "must not end in -protected" in found.warnings[0]


def test_a_cleaned_key_is_said_and_an_unusable_one_is_a_problem() -> None:
    cleaned, unusable = select(Cache(key="../a", paths=("x",)), Cache(key="..", paths=("x",)))
    assert cleaned.warnings == ("cache key '../a' sanitized to 'a'",)
    assert (unusable.keys, unusable.problem) == ((), "cache key '..' could not be sanitized")


def test_hashed_keys_keep_what_people_read() -> None:
    key = select(Cache(key="a/../b", paths=("x",)), hashing=True)[0].keys[0]
    assert (key.name, key.other, key.shown) == (keys.hashed("a/../b"), "b", "a/../b")
    plain = select(Cache(key="b", paths=("x",)))[0].keys[0]
    assert (plain.name, plain.other) == ("b", keys.hashed("b"))


@pytest.mark.parametrize(
    ("policy", "pulls", "pushes"),
    [("", True, True), ("pull-push", True, True), ("pull", True, False), ("$P", False, True)],
)
def test_a_policy_may_come_from_a_variable(policy: str, pulls: bool, pushes: bool) -> None:
    cache = select(Cache(key="k", paths=("x",), policy=policy), P="push")[0]
    assert (cache.pulls, cache.pushes) == (pulls, pushes)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UnknownPolicyError, match="unknown cache policy 'push-pull'"):
        select(Cache(key="k", paths=("x",), policy="push-pull"))


@pytest.mark.parametrize(
    ("when", "success", "failure"),
    [("", True, False), ("on_success", True, False), ("on_failure", False, True),
     ("always", True, True)],
)  # fmt: skip
def test_when_decides_after_which_result_it_is_saved(
    when: str, success: bool, failure: bool
) -> None:
    cache = select(Cache(key="k", paths=("x",), when=when))[0]
    assert (cache.saved(success=True), cache.saved(success=False)) == (success, failure)
