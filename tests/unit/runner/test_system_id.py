from __future__ import annotations

from pathlib import Path

import pytest

from podlane.runner import system_id


@pytest.mark.parametrize(
    ("token", "short"),
    [
        ("veryverylongtoken", "veryveryl"),
        ("t1_t9Wkyj-HGRkqQ-x", "t9Wkyj-HG"),
        ("t4_t9Wkyj-HGRkqQ", "t4_t9Wkyj"),
        ("glrt-t9Wkyj-HGRkqQ", "t9Wkyj-HG"),
        ("glrt-t1_t9Wkyj-HGRkqQ", "t9Wkyj-HG"),
        ("glrtr-t9Wkyj-HGRkqQ", "t9Wkyj-HG"),
        ("glcbt-t9Wkyj-HGRkqQ", "t9Wkyj-HG"),
        ("glrtr-t1_t9Wkyj-HGRkqQ", "t1_t9Wkyj"),
        ("glcbt-t2_t9Wkyj-HGRkqQ", "t2_t9Wkyj"),
        ("GR1348941Z196cJVyw12", "Z196cJVyw"),
        ("GR134894-196cJVyw12", "GR134894-"),
    ],
)
def test_a_token_is_shown_by_its_first_nine_characters(token: str, short: str) -> None:
    assert system_id.short_token(token) == short


def test_the_system_id_is_derived_once_and_kept(tmp_path: Path) -> None:
    machine = tmp_path / "machine-id"
    machine.write_text("abc\n")
    made = system_id.load(tmp_path, machine_id_files=(machine,))
    assert made == system_id.from_machine_id("abc")
    machine.write_text("other\n")
    assert system_id.load(tmp_path, machine_id_files=(machine,)) == made


def test_without_a_machine_id_it_is_random(tmp_path: Path) -> None:
    assert system_id.load(None, machine_id_files=(tmp_path / "no",)).startswith("r_")
