"""``podlane compile``: which document, in which form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from podlane.cli.main import main

CONFIGURATION = """
.base: {image: alpine}
job: {extends: .base, script: echo}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".gitlab-ci.yml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_jobs_are_json_unless_asked_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"]["job"]["image"] == "alpine"
    assert main(["compile", "--format", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["jobs"]["job"]["script"] == ["echo"]


@pytest.mark.usefixtures("project")
def test_the_merged_configuration_is_yaml_unless_asked_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["compile", "--merged"]) == 0
    shown = capsys.readouterr().out
    assert not shown.startswith("{")
    assert yaml.safe_load(shown)["job"]["image"] == "alpine"
    assert main(["compile", "--merged", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["job"]["image"] == "alpine"
