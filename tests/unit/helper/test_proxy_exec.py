"""``proxy-exec`` hides what the command asks to have hidden, and is otherwise not noticed."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from podlane.helper.main import main

RUN = [sys.executable, "-c", "from podlane.helper.main import main; exit(main())", "proxy-exec"]


def proxied(directory: Path, script: str) -> subprocess.CompletedProcess[str]:
    command = [*RUN, "--temp-dir", str(directory), "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_a_value_is_hidden_from_its_line_on_and_in_later_commands(tmp_path: Path) -> None:
    done = proxied(
        tmp_path, "echo s3cret before; echo ::add-mask::s3cret; echo a s3cret; echo s3cret >&2"
    )
    assert done.stdout.splitlines()[-1] == "a [MASKED]"
    assert "::add-mask::" not in done.stdout
    assert proxied(tmp_path, "printf 'no newline s3cret'").stdout == "no newline [MASKED]"
    assert stat.S_IMODE((tmp_path / "masking.db").stat().st_mode) == 0o600
    assert "s3cret" not in (tmp_path / "masking.db").read_text()


def test_the_exit_code_and_both_streams_are_the_commands(tmp_path: Path) -> None:
    done = proxied(tmp_path, "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert proxied(tmp_path, "kill -9 $$").returncode == 137


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "needs a command"),
        (["/does/not/exist"], "cannot be run: No such file"),
        (["--bootstrap", "true"], "switch proxy_exec of the runner off"),
    ],
)
def test_what_is_wrong_is_a_sentence(
    args: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["proxy-exec", *args]) == 1
    assert sentence in capsys.readouterr().err
