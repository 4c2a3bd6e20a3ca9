"""Keys and places are GitLab Runner's (runner-protocol Appendix B)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.runner.cache import keys


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a/./b", "a/b"),
        ("foo/blipp/../bar", "foo/bar"),
        ("//foo/bar", "foo/bar"),
        ("./foo/bar", "foo/bar"),
        ("../foo/bar", "foo/bar"),
        (".../foo/bar", ".../foo/bar"),
        ("foo/bar/..", "foo"),
        ("foo/bar/../../../.././blerp", "blerp"),
        ("job\\name/git\\ref", "job/name/git/ref"),
        ("some%2f../job/some/ref/.", "job/some/ref"),
        ("something %2F something", "something / something"),
        ("%2E%2e%2E", "..."),
        ("%5C", "%5C"),
        ("foo/ /bar", "foo/ /bar"),
        ("foo/ / /", "foo"),
        ("\t foo bar \t\r", "\t foo bar"),
        ("", ""),
    ],
)
def test_a_key_is_cleaned_as_the_official_runner_does(raw: str, clean: str) -> None:
    assert keys.sanitized(raw) == clean


@pytest.mark.parametrize(
    "raw",
    [
        "\\",
        "/",
        " ",
        ".",
        "..",
        "//\\",
        "../.",
        "foo/bar/../..",
        "%2E",
        ".%2E",
        " \t\n\u2003",
        "2\\.. ",
        "a/.. /. ",
    ],
)
def test_a_key_of_which_nothing_is_left_is_refused(raw: str) -> None:
    with pytest.raises(keys.UnusableKeyError, match="could not be sanitized"):
        keys.sanitized(raw)


@given(st.text(alphabet="ab./\\ %25eEfF\t"))
def test_no_key_leaves_its_directory(raw: str) -> None:
    try:
        clean = keys.sanitized(raw)
    except keys.UnusableKeyError:
        return
    assert not clean.startswith("/")
    assert ".." not in clean.split("/")


def test_places_are_laid_out_as_the_official_runner_does() -> None:
    assert keys.hashed("some-job/some-ref").startswith("d03a852b")
    assert keys.local_file("/cache/group/app", "k") == "/cache/group/app/k/cache.zip"
    assert keys.object_prefix("", "abcdefghi", 42) == "runner/abcdefghi/project/42"
    assert keys.object_prefix("/some/path/", "", 42) == "some/path/project/42"
    assert keys.object_name("project/42", "main/x", is_hash=False) == "project/42/main/x"
    assert keys.object_name("project/42", "d03a852b", is_hash=True) == "project/42/d0/d03a852b"
