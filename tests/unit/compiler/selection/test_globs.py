"""Globs as Ruby's fnmatch reads them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from podlane.compiler.selection import globs


@example("[?-", "")
@given(st.text(alphabet="ab/*?[]{},!^\\-.", max_size=20), st.text(alphabet="ab/.", max_size=12))
def test_no_pattern_makes_the_glob_matcher_crash(pattern: str, path: str) -> None:
    assert globs.matcher(pattern)(path) in (True, False)


@given(st.text(alphabet="ab/.-_", max_size=20))
def test_a_path_without_special_characters_matches_itself(path: str) -> None:
    assert globs.matcher(path)(path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        # Ruby's documentation of File.fnmatch
        ("cat", "cat", True),
        ("cat", "category", False),
        ("c{at,ub}s", "cats", True),
        ("c?t", "cat", True),
        ("c??t", "cat", False),
        ("c*", "cats", True),
        ("ca[a-z]", "cat", True),
        ("ca[^t]", "cat", False),
        ("?", "/", False),
        ("*", "/", False),
        ("[/]", "/", False),
        ("\\?", "?", True),
        ("\\a", "a", True),
        ("[\\?]", "?", True),
        ("*", ".profile", True),
        (".*", ".profile", True),
        ("**/*.rb", "main.rb", True),
        ("**/*.rb", "lib/song.rb", True),
        ("**/foo", "a/b/c/foo", True),
        ("**/foo", "a/.b/c/foo", True),
        ("**.rb", "main.rb", True),
        ("**.rb", "lib/song.rb", False),
        ("a/**/b", "a/b", True),
        ("a{b,c{d,e}}f", "acdf", True),
        # ruby 3.1, asked with GitLab's flags
        ("{a", "{a", False),
        ("{a,b}{", "a{", False),
        ("\\{a", "{a", True),
        ("}a", "}a", True),
        ("[a", "[a", False),
        ("[]a]", "]", False),
        ("[]a]", "a]", False),
        ("[^]", "b", True),
        ("[^]", "/", False),
        ("[b-a]", "a", True),
        ("[c-a]", "b", False),
        ("[.-0]", "/", False),
        ("[.-0]", "0", True),
        ("a\\", "a", True),
        ("\\", "\\", False),
        ("a\\/**/b", "a/x/y/b", True),
    ],
)
def test_a_glob_matches_as_rubys_fnmatch(pattern: str, path: str, expected: bool) -> None:
    assert globs.matcher(pattern)(path) is expected


def test_many_stars_do_not_take_long() -> None:
    assert not globs.matcher("*a" * 20 + "b")("a" * 200)
