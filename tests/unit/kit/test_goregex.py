from __future__ import annotations

from podlane.kit import goregex


def test_a_pattern_matches_anywhere_unless_it_is_anchored() -> None:
    assert goregex.found("ci-", "my-ci-team")
    assert not goregex.found("^ci-", "my-ci-team")
    assert not goregex.found("^ci-.*$", "ci-team\nmore")


def test_what_is_no_expression_is_told() -> None:
    assert goregex.problem(".*") is None
    assert goregex.problem("(") == "missing ): ("
    assert "(?<=" in (goregex.problem("(?<=a)b") or "")
