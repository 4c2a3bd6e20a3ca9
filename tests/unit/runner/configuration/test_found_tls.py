from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.jobs import a_runner

from podlane.runner.configuration.config_file import load_config
from podlane.runner.configuration.found_tls import with_found_tls
from podlane.runner.configuration.settings import TlsSettings


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "certs").mkdir()
    for name in ("crt", "auth.crt", "auth.key"):
        (tmp_path / "certs" / f"gitlab.example.com.{name}").write_text("PEM")
    return tmp_path


def test_files_are_found_by_the_host_without_the_port(beside: Path) -> None:
    certs = beside / "certs" / "gitlab.example.com"
    found = with_found_tls(a_runner(url="https://gitlab.example.com:8443/gitlab"), beside).tls
    assert found == TlsSettings(
        ca_file=f"{certs}.crt", cert_file=f"{certs}.auth.crt", key_file=f"{certs}.auth.key"
    )


def test_what_is_configured_wins(beside: Path) -> None:
    runner = a_runner(tls=TlsSettings(ca_file="/own.pem"))
    assert with_found_tls(runner, beside).tls.ca_file == "/own.pem"


@pytest.mark.parametrize(
    "url", ["http://gitlab.example.com", "https://other.example.com", "https://[broken", ""]
)
def test_nothing_is_found_for_others(beside: Path, url: str) -> None:
    runner = a_runner(url=url)
    assert with_found_tls(runner, beside) is runner


def test_the_file_that_is_loaded_has_them_beside_itself(beside: Path) -> None:
    file = beside / "config.toml"
    file.write_text(
        '[[runners]]\nurl = "https://gitlab.example.com"\ntoken = "t"\nexecutor = "kubernetes"\n'
    )
    settings, _ = load_config(file)
    assert settings.runners[0].tls.ca_file == str(beside / "certs" / "gitlab.example.com.crt")
