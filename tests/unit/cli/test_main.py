from __future__ import annotations

import importlib
import io
from pathlib import Path

import click
import pytest

from podlane.cli import main as cli
from podlane.cli.options import key_value
from podlane.cli.output import Output, Stream, Style, wants_color
from podlane.kit.errors import PermanentError, UsageError
from tests.unit.cli.terminal import stream


def _code(error: BaseException) -> tuple[int, str]:
    out, recorder = stream(terminal=False)
    return cli.exit_code_of(error, Output(out=out, err=out)), recorder.getvalue()


def test_a_failure_is_a_sentence_and_a_hint() -> None:
    code, text = _code(PermanentError("the node does not start", hint="install crun"))
    assert code == 1
    assert text == "error: the node does not start\n  hint: install crun\n"


def test_bad_usage_has_its_own_code() -> None:
    assert _code(UsageError("no such job"))[0] == 2
    assert _code(click.BadParameter("x"))[0] == 2


def test_the_sentence_is_found_inside_task_groups() -> None:
    inner = ExceptionGroup("unhandled errors", [RuntimeError("x"), UsageError("this one")])
    assert _code(BaseExceptionGroup("outer", [inner])) == (2, "error: this one\n")


def test_an_interrupt_is_130() -> None:
    assert _code(KeyboardInterrupt())[0] == 130
    assert _code(BaseExceptionGroup("group", [KeyboardInterrupt()]))[0] == 130


def test_an_unexpected_error_is_one_line_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("PODLANE_DEBUG", raising=False)
    code, text = _code(ValueError("odd\nmore"))
    log = tmp_path / "podlane" / "error.log"
    assert code == 1
    assert text.splitlines()[0] == "error: this is a fault in podlane: ValueError: odd"
    assert str(log) in text
    assert "ValueError: odd" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_is_in_the_module_of_its_name_and_has_examples(name: str) -> None:
    command = importlib.import_module(f"podlane.cli.commands.{name}").command
    assert isinstance(command, click.Command)
    assert command.name == name
    assert all("Examples:" in epilog for epilog in _epilogs(command))


def _epilogs(command: click.Command) -> list[str]:
    if isinstance(command, click.Group):
        return [epilog for sub in command.commands.values() for epilog in _epilogs(sub)]
    return [command.epilog or ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A=1", ("A", "1")), ("A=", ("A", "")), ("a_1=x=y z", ("a_1", "x=y z"))],
)
def test_a_variable_is_split_at_its_first_equals(text: str, expected: tuple[str, str]) -> None:
    assert key_value(text) == expected


@pytest.mark.parametrize("text", ["A", "", "=x", "1A=x", "A-B=x", "A B=x"])
def test_a_variable_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        key_value(text)


def test_colours_follow_the_environment() -> None:
    file = io.StringIO()
    assert not wants_color(file, {})
    assert wants_color(file, {"FORCE_COLOR": "1"})
    assert not wants_color(file, {"FORCE_COLOR": "1", "NO_COLOR": "1"})


def test_a_style_is_nothing_where_colours_are_off() -> None:
    plain = Stream(file=io.StringIO(), color=False, terminal=False)
    assert plain.style("x", Style.RED) == "x"


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_an_option_too(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([flag]) == 0
    by_option = capsys.readouterr().out
    assert cli.main(["version"]) == 0
    assert by_option == capsys.readouterr().out
    assert by_option.startswith("podlane ")
