from __future__ import annotations

from pathlib import Path

import pytest

from podlane.runner.configuration.config_file import read_config

HEAD = """
[[runners]]
url = "https://gitlab.example.com"
token = "glrt-x"
executor = "kubernetes"
"""
ON = "[runners.feature_flags]\nFF_USE_ADVANCED_POD_SPEC_CONFIGURATION = true\n"
NO_EFFECT = (
    "11: warning: runners.kubernetes.pod_spec: has no effect in jobs that do not set the flag: "
    "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION is off"
)


def found(text: str) -> list[str]:
    _, diagnostics = read_config(HEAD + text, "config.toml", environ={})
    return [f"{each.place.line}: {each.severity}: {each.message}" for each in diagnostics]


def entry(patch: str, kind: str = "strategic") -> str:
    return (
        f"[[runners.kubernetes.pod_spec]]\nname = 'mine'\npatch_type = '{kind}'\n"
        f"patch = '''\n{patch}\n'''\n"
    )


def test_good_patches_are_good_with_the_flag_from_either_place() -> None:
    assert found(ON + entry("hostname: a")) == []
    by_environment = 'environment = ["FF_USE_ADVANCED_POD_SPEC_CONFIGURATION=true"]\n'
    assert found(by_environment + entry("hostname: a")) == []


def test_patches_without_the_flag_are_said_to_have_no_effect() -> None:
    lines = "\n\n\n\n[runners.kubernetes]\n" + entry("hostname: a")
    assert found(lines) == [NO_EFFECT]
    off = "[runners.feature_flags]\nFF_USE_ADVANCED_POD_SPEC_CONFIGURATION = false\n"
    [text] = found(off + entry("hostname: a"))
    assert text.endswith("pod_spec: has no effect: FF_USE_ADVANCED_POD_SPEC_CONFIGURATION is off")


def test_each_bad_patch_has_its_name_and_its_line() -> None:
    bad = entry("hostname: [a")
    assert found(ON + entry("hostname: a") + bad) == [
        (
            '14: error: runners.kubernetes.pod_spec[1] "mine": the patch is not YAML: did not find '
            "expected ',' or ']' in line 2, column 1"
        )
    ]


@pytest.mark.parametrize(("flag", "severity"), [(ON, "error"), ("", "warning")], ids=["on", "off"])
def test_a_patch_that_breaks_every_job_is_found_before_there_is_one(
    flag: str, severity: str
) -> None:
    last = found(flag + entry("containers: [{name: build}]", "merge"))[-1]
    assert f'{severity}: runners.kubernetes.pod_spec[0] "mine" ' in last
    assert 'removes or renames the container "helper"' in last or "changes command" in last


def test_a_path_that_a_plain_job_does_not_have_is_a_warning() -> None:
    patch = '[{"op": "add", "path": "/containers/2/tty", "value": true}]'
    [text] = found(ON + entry(patch, "json"))
    assert 'warning: runners.kubernetes.pod_spec[0] "mine" cannot be applied to the pod of' in text
    assert text.endswith("a plain job: path /2 does not exist")


def test_a_file_that_cannot_be_read_is_found(tmp_path: Path) -> None:
    file = tmp_path / "patch.yaml"
    text = f"{ON}[[runners.kubernetes.pod_spec]]\npatch_path = '{file}'\n"
    [said] = found(text)
    assert f"pod_spec[0]: cannot read {file}: No such file or directory" in said
    file.write_text("hostname: a\n")
    assert found(text) == []


def test_what_images_jobs_may_use_does_not_hide_a_broken_patch() -> None:
    images = "[runners.kubernetes]\nallowed_images = ['ruby:*']\n"
    patch = entry("containers: [{name: helper, $patch: delete}]")
    [said] = found(ON + images + patch)
    assert 'removes or renames the container "helper"' in said


def test_all_that_is_wrong_is_told_at_once_and_nothing_twice() -> None:
    missing = "[[runners.kubernetes.pod_spec]]\npatch_path = '/nowhere/patch.yaml'\n"
    said = found(ON + entry("a: b", "deep") + missing)
    assert [text.partition("pod_spec")[2][:3] for text in said] == ["[0]", "[1]"]
    assert "cannot read /nowhere/patch.yaml" in said[1]


def test_a_wrong_affinity_has_the_line_of_its_own_table() -> None:
    path = "runners.kubernetes.affinity.pod_affinity.required_during_scheduling_ignored_during_execution"
    assert found(f"[[{path}]]\ntopology_key = 'zone'\n[[{path}]]\nnamespaces = ['a']\n") == [
        f"8: error: {path}[1].topology_key: must be given"
    ]
