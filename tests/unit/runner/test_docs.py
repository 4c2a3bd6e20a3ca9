"""What the runner reads is what the reference says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from podlane.runner.configuration import feature_flags

DOCS = Path(__file__).parents[3] / "docs" / "reference"
SOURCES = Path(__file__).parents[3] / "src" / "podlane" / "runner"


def used_settings() -> list[str]:
    text = (SOURCES / "configuration" / "config_file.py").read_text()
    read = re.findall(r'\.(?:text|number|flag|seconds|texts|raw|table|tables)\(\s*"([^"]+)"', text)
    not_yet = re.findall(r'^    "([a-z_]+)": "', text, re.MULTILINE)
    return sorted({*read, *not_yet} - {"runners", "kubernetes"})


def used_variables() -> list[str]:
    texts = [path.read_text() for path in SOURCES.rglob("*.py")]
    found = re.findall(r'"((?:GIT|RUNNER|GET|ARTIFACT|AFTER)_[A-Z_]+)"', " ".join(texts))
    ours = {"RUNNER_TEMP_PROJECT_DIR", "GIT_CONFIG_COUNT"}
    return sorted(set(found) - ours)


@pytest.mark.parametrize("name", used_settings())
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in (DOCS / "config.md").read_text() or (
        f"[runners.{name}]" in (DOCS / "config.md").read_text()
    )


@pytest.mark.parametrize("name", used_variables())
def test_every_variable_that_the_runner_reads_is_documented(name: str) -> None:
    assert f"`{name}`" in (DOCS / "job-variables.md").read_text()


@pytest.mark.parametrize("name", sorted(feature_flags.EFFECTIVE))
def test_every_flag_with_an_effect_is_documented(name: str) -> None:
    default = str(feature_flags.DEFAULTS[name]).lower()
    assert f"| `{name}` | {default} |" in (DOCS / "job-variables.md").read_text()
