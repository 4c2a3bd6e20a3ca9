from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest

from podlane.cli import reports
from podlane.cli.main import main
from podlane.cli.output import Output, Stream
from podlane.cli.project import directory
from podlane.compiler.context import FetchError

GREEN = "job:\n  script: ['true']\n"


def _project(root: Path, text: str = GREEN) -> directory.Project:
    (root / ".gitlab-ci.yml").write_text(text)
    return directory.Project(root=root, file=Path(".gitlab-ci.yml"))


def test_a_directory_needs_no_repository(tmp_path: Path) -> None:
    found = _project(tmp_path)
    compilation = found.compile([])
    assert compilation.pipeline is not None
    assert found.ref() == "main"


def test_the_branch_is_the_one_that_is_checked_out(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "-b", "feature/x", str(tmp_path)], check=True)
    assert _project(tmp_path).ref() == "feature/x"


def test_files_are_listed_without_what_git_ignores(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    _project(tmp_path)
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "a.log").touch()
    files = directory.ProjectFiles(tmp_path, Path(".gitlab-ci.yml"))
    assert sorted(files.list_files()) == [".gitignore", ".gitlab-ci.yml"]


def test_a_file_outside_the_project_is_not_read(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.yml").write_text("x: 1")
    files = directory.ProjectFiles(inside, Path(".gitlab-ci.yml"))
    with pytest.raises(FetchError, match="outside the project"):
        files.read_local("../secret.yml")
    assert files.read_local("/missing.yml") is None


def test_findings_are_shown_with_place_and_excerpt(tmp_path: Path) -> None:
    err = io.StringIO()
    stream = Stream(file=err, color=False, terminal=False)
    found = _project(tmp_path, "job:\n  stage: nowhere\n  script: ['true']\n")
    usable = reports.show_findings(Output(out=stream, err=stream), found.compile([]))
    assert not usable
    assert err.getvalue().startswith(".gitlab-ci.yml:")
    assert "error:" in err.getvalue()


def test_lint_and_list_speak_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _project(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["lint", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "valid": True,
        "partial": False,
        "findings": [],
    }
    assert main(["list", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "job",
            "stage": "test",
            "when": "on_success",
            "needs": None,
            "image": "",
            "included": True,
        }
    ]


def test_lint_refuses_a_broken_file_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _project(tmp_path, "job: [\n")
    monkeypatch.chdir(tmp_path)
    assert main(["lint"]) == 2
    assert main(["lint", "--format", "json"]) == 2
    shown = json.loads(capsys.readouterr().out)
    assert shown["valid"] is False
    assert shown["findings"][0]["line"] >= 1
