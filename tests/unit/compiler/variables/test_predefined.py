"""Predefined variables: slugs, messages, and what is given."""

from __future__ import annotations

import pytest

from podlane.compiler.context import Context
from podlane.compiler.variables.predefined import message_variables, pipeline_variables, slug


def test_a_slug_is_what_gitlab_makes() -> None:
    # GitLab's Utils.slugify spec
    assert slug("TEST") == "test"
    assert slug("project_with_underscores") == "project-with-underscores"
    assert slug("namespace/project") == "namespace-project"
    assert slug("a" * 70) == "a" * 63
    assert slug("-a-") == "a"
    assert slug("Feature/ABC") == "feature-abc"
    assert slug("x" * 62 + "-y") == "x" * 62
    assert slug("größe") == "gr--e"
    assert not slug("")


@pytest.mark.parametrize(
    ("message", "title", "description"),
    [  # GitLab's Commit (18.11) and its spec
        ("Title\n", "Title", ""),
        ("Title\n\nBody\n\nEnd\n", "Title", "\nBody\n\nEnd"),
        ("Title\r\n\r\nBody\r\n", "Title", "\r\nBody"),
        ("Title\nno blank line\n\n", "Title", "no blank line\n"),
        ("", "No commit message", "No commit message"),
        (" \n", "No commit message", "No commit message"),
        ("x" * 99 + "\n\nBody\n", "x" * 99, "\nBody"),
        ("x" * 100 + "\n\nBody\n", "x" * 100, "x" * 100 + "\n\nBody\n"),
    ],
)
def test_a_commits_message_is_split_as_in_gitlab(
    message: str, title: str, description: str
) -> None:
    found = dict(message_variables(message))
    assert found["CI_COMMIT_MESSAGE"] == message
    assert (found["CI_COMMIT_TITLE"], found["CI_COMMIT_DESCRIPTION"]) == (title, description)
    assert found["CI_COMMIT_MESSAGE_IS_TRUNCATED"] == "false"


def test_a_long_message_is_cut_by_bytes() -> None:
    found = dict(message_variables("T\n" + "\u00e4" * 60_000))
    assert found["CI_COMMIT_MESSAGE"] == "T\n" + "\u00e4" * 49_999
    assert found["CI_COMMIT_MESSAGE_IS_TRUNCATED"] == "true"


def test_given_predefined_values_replace_computed_ones() -> None:
    found = pipeline_variables(Context(predefined={"CI_COMMIT_SHA": "x", "MORE": "y"}, ref="b"))
    assert found["CI_COMMIT_SHA"] == "x"
    assert found["MORE"] == "y"
    assert found["CI_COMMIT_BRANCH"] == "b"
