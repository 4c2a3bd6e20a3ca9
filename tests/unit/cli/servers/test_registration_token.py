"""Where a coordinator's registration token comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from podlane.cli.servers.coordinator import registration_token
from podlane.kit.errors import UsageError


def test_the_token_is_the_files_only_line(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("GR134\n")
    assert registration_token(tmp_path / "token") == "GR134"
    assert registration_token(None) == ""


@pytest.mark.parametrize("content", [b"", b" \n", b"secret two\n", b"\xff"])
def test_a_file_without_a_token_is_refused_by_name_and_not_shown(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(UsageError, match="registration token") as failed:
        registration_token(tmp_path / "token")
    assert "secret" not in str(failed.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        registration_token(tmp_path / "token")
