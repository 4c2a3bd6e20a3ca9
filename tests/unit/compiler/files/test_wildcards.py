"""The wildcards of includes and of cache keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.compiler.files import wildcards


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [  # GitLab's search_files_by_wildcard_path (18.11) and its spec
        ("*.yml", "a.yml", True),
        ("*.yml", "d/a.yml", False),
        ("d/*.yml", "d/.yml", True),
        ("**.yml", "d/e/a.yml", True),
        ("**/*.yml", "a.yml", True),
        ("**/*.yml", "d/e/a.yml", True),
        ("d/**/a.yml", "d/a.yml", True),
        ("d/**/a.yml", "d/e/f/a.yml", True),
        ("d/**/a.yml", "da.yml", False),
        ("***/a.yml", "x/y/a.yml", True),
        ("***/a.yml", "xa.yml", True),
        ("a?.yml", "ab.yml", False),
        ("[a].yml", "a.yml", False),
        ("{a,b}.yml", "{a,b}.yml", True),
        ("a.yml", "axyml", False),
    ],
)
def test_only_stars_are_wildcards_of_includes_and_cache_keys(
    pattern: str, path: str, expected: bool
) -> None:
    assert wildcards.matcher(pattern)(path) is expected


@given(st.text(alphabet="a*/.[\\", max_size=30), st.text(alphabet="a/.", max_size=30))
def test_no_wildcards_crash_or_hang(pattern: str, path: str) -> None:
    assert wildcards.matcher(pattern)(path) in {True, False}
