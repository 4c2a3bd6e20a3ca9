"""Forwarding is switched back by who switched it on, within one boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from podlane.node.runtime import uplink


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "forward").write_text("0\n")
    (tmp_path / "boot").write_text("one\n")
    monkeypatch.setattr(uplink, "_FORWARD", tmp_path / "forward")
    monkeypatch.setattr(uplink, "_BOOT", tmp_path / "boot")
    monkeypatch.setattr(uplink, "SWITCHED_ON", tmp_path / "run" / "ip_forward")
    return tmp_path


def _forwarding(files: Path) -> str:
    return (files / "forward").read_text().strip()


def test_what_we_switched_on_is_switched_back(files: Path) -> None:
    uplink._switch_forwarding_on()
    assert _forwarding(files) == "1"
    uplink.switch_forwarding_back()
    assert _forwarding(files) == "0"
    assert not uplink.SWITCHED_ON.exists()


def test_what_was_on_before_stays_on(files: Path) -> None:
    (files / "forward").write_text("1\n")
    uplink._switch_forwarding_on()
    uplink.switch_forwarding_back()
    assert _forwarding(files) == "1"


def test_a_note_of_another_boot_means_nothing(files: Path) -> None:
    uplink._switch_forwarding_on()
    (files / "boot").write_text("two\n")
    uplink.switch_forwarding_back()
    assert _forwarding(files) == "1"
    assert not uplink.SWITCHED_ON.exists()
