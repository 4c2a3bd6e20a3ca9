"""The slugs of environments."""

from __future__ import annotations

import pytest

from podlane.compiler.output.lower import environment_slug


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # GitLab's Slug::Environment spec
        ("staging-12345678901234567", r"^staging-123456789-[a-z0-9]{6}$"),
        ("9-staging-123456789012345", r"^env-9-staging-123-[a-z0-9]{6}$"),
        ("staging-1234567890123456", r"^staging-1234567890123456$"),
        ("Production", r"^production-[a-z0-9]{6}$"),
        ("PRODUCTION", r"^production-[a-z0-9]{6}$"),
        ("review/1-foo", r"^review-1-foo-[a-z0-9]{6}$"),
        ("1-foo", r"^env-1-foo-[a-z0-9]{6}$"),
        ("foo-bar", r"^foo-bar$"),
        ("foo--bar", r"^foo-bar-[a-z0-9]{6}$"),
        ("foo**bar", r"^foo-bar-[a-z0-9]{6}$"),
        ("*-foo", r"^env-foo-[a-z0-9]{6}$"),
        ("staging-12345678-", r"^staging-12345678$"),
    ],
)
def test_an_environment_has_the_slug_that_gitlab_gives_it(name: str, expected: str) -> None:
    import re

    assert re.match(expected, environment_slug(name)), environment_slug(name)
