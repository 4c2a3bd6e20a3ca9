"""Flags as scripts write them."""

from __future__ import annotations

import pytest

from podlane.helper.flags import Flag, FlagError, expand, parse

FLAGS = (
    Flag("url", "URL", default="x"),
    Flag("path"),
    Flag("untracked", "UNTRACKED", switch=True),
    Flag("port", short="p"),
    Flag("timeout", default="1h30m"),
)


def test_all_spellings_are_understood() -> None:
    values = parse(FLAGS, ["--path", "a", "-path=b", "--untracked", "-p", "1", "rest", "-x"], {})
    assert values.all("path") == ["a", "b"]
    assert values.flag("untracked")
    assert values.number("port") == 1
    assert values.rest == ["rest", "-x"]
    assert values.text("url") == "x"
    assert values.seconds("timeout") == 5400


def test_the_environment_gives_what_the_command_line_does_not() -> None:
    environ = {"URL": "from-env", "UNTRACKED": "true"}
    assert parse(FLAGS, [], environ).text("url") == "from-env"
    assert parse(FLAGS, [], environ).flag("untracked")
    assert parse(FLAGS, ["--url", "given"], environ).text("url") == "given"
    assert not parse(FLAGS, ["--untracked=false"], environ).flag("untracked")


@pytest.mark.parametrize("argv", [["--nope"], ["--path"], ["--unt"]])
def test_a_wrong_command_line_is_refused(argv: list[str]) -> None:
    with pytest.raises(FlagError):
        parse(FLAGS, argv, {})


def test_wrong_values_are_refused() -> None:
    values = parse(FLAGS, ["--port", "x", "--timeout", "soon", "--untracked=maybe"], {})
    for read in (
        lambda: values.number("port"),
        lambda: values.seconds("timeout"),
        lambda: values.flag("untracked"),
    ):
        with pytest.raises(FlagError):
            read()


def test_variables_are_expanded_and_unknown_ones_vanish() -> None:
    assert expand("$A/${B}-$NO.x$", {"A": "1", "B": "2"}) == "1/2-.x$"
