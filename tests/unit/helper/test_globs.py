"""Patterns as the official helper reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from podlane.helper import globs


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.txt", "a.txt", True), ("*.txt", "d/a.txt", False), ("*.txt", ".txt", True),
        ("**/*.txt", "a.txt", True), ("**/*.txt", "d/e/a.txt", True), ("d/**", "d/e/f", True),
        ("d/**", "d", True), ("d/**", "dd", False), ("**", "a/b", True), ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True), ("a/*/b", "a/x/y/b", False), ("?", "ab", False),
        ("[a-c]x", "bx", True), ("[^a-c]x", "bx", False), ("[!a]x", "bx", True),
        ("{a,b}/*", "b/c", True), ("x{a,b{c,d}}", "xbd", True), (r"\*", "*", True),
        (r"\*", "a", False), ("a.b", "axb", False), ("[", "[", True), ("dir/", "dir", True),
    ],
)  # fmt: skip
def test_a_pattern_matches_whole_paths(pattern: str, path: str, expected: bool) -> None:
    assert globs.matches(pattern, path) is expected


def test_glob_finds_files_directories_and_dot_files_but_follows_no_links(project: Path) -> None:
    for name in ("a/b/c.txt", "a/.hidden", "a/d.txt", "other/x"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    (project / "a/link").symlink_to("../other")
    assert globs.glob("a/*") == ["a/.hidden", "a/b", "a/d.txt", "a/link"]
    assert globs.glob("**/*.txt") == ["a/b/c.txt", "a/d.txt"]
    assert globs.glob("a/**") == ["a", "a/.hidden", "a/b", "a/b/c.txt", "a/d.txt", "a/link"]
    assert globs.glob("./a/b/../d.txt") == ["a/b/../d.txt"]
    assert globs.glob("{a,other}/*x*") == ["a/d.txt", "other/x"]
    assert globs.glob("missing/**/*") == []
    assert globs.glob("a/link/x") == ["a/link/x"]
    assert globs.glob("[") == []
