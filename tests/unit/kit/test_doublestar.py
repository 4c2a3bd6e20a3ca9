from __future__ import annotations

import pytest

from podlane.kit import doublestar


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("ruby:*", "ruby:3.3", True),
        ("ruby:*", "library/ruby:3.3", False),
        ("ruby", "ruby:3.3", False),
        ("*", "ruby:3.3", True),
        ("*", "group/ruby", False),
        ("**", "registry.example/group/ruby:3", True),
        ("registry.example/**", "registry.example/a/b/c:1", True),
        ("registry.example/**", "registry.example", True),
        ("registry.example/**", "registry.example.evil/a", False),
        ("registry.example/**/ruby:*", "registry.example/ruby:3", True),
        ("registry.example/**/ruby:*", "registry.example/a/b/ruby:3", True),
        ("registry.example/**/ruby:*", "registry.example/a/bruby:3", False),
        ("registry.example/**ruby", "registry.example/a/ruby", False),
        ("registry.example/**ruby", "registry.example/jruby", True),
        ("registry.example/my**/**", "registry.example/myteam/image", True),
        ("registry.example/a*/**", "registry.example/a", False),
        ("alpine:3.1?", "alpine:3.19", True),
        ("alpine:3.1?", "alpine:3.1", False),
        ("a?b", "a/b", False),
        ("alpine:[0-9]*", "alpine:3", True),
        ("alpine:[^0-9]*", "alpine:latest", True),
        ("alpine:[!0-9]*", "alpine:3", False),
        ("[a\\]]", "]", True),
        ("[^a]", "/", True),
        ("{ruby,python}:*", "python:3", True),
        ("{ruby,python}:*", "golang:1", False),
        ("{a,b{c,d}}/**", "bd/x", True),
        ("a{**,x}", "a/b/c", True),
        ("\\*", "*", True),
        ("\\*", "x", False),
        ("Ruby", "ruby", False),
    ],
)
def test_a_pattern_matches_as_gitlab_runners_does(pattern: str, name: str, expected: bool) -> None:
    assert doublestar.matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("[", "] is missing"),
        ("[]", "[] is empty"),
        ("[a", "] is missing"),
        ("[a-", "] is missing"),
        ("{a,b", "} is missing"),
        ("a}", "} closes nothing"),
        ("a\\", "a backslash ends it"),
    ],
)
def test_what_is_no_pattern_is_told(pattern: str, said: str) -> None:
    assert doublestar.problem(pattern) == said
    with pytest.raises(doublestar.PatternError):
        doublestar.matches(pattern, "a")


def test_no_name_takes_longer_than_its_length_times_the_pattern() -> None:
    assert not doublestar.matches("**/*a*a*a*a*a*a*b", "a" * 5000 + "/" + "a" * 5000)
