"""TLS files that lie beside ``config.toml``, where no setting names one (runner-protocol 1.1)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from podlane.runner.configuration.settings import RunnerSettings, TlsSettings


def with_found_tls(runner: RunnerSettings, directory: Path) -> RunnerSettings:
    """Return the runner with ``certs/<host>.crt``, ``.auth.crt`` and ``.auth.key`` where they exist."""
    try:
        url = urlsplit(runner.url)
        host = url.hostname
    except ValueError:  # what is no URL is named where it is used
        return runner
    if url.scheme != "https" or not host:
        return runner
    tls = runner.tls
    found = TlsSettings(
        ca_file=tls.ca_file or _existing(directory, f"{host}.crt"),
        cert_file=tls.cert_file or _existing(directory, f"{host}.auth.crt"),
        key_file=tls.key_file or _existing(directory, f"{host}.auth.key"),
    )
    return runner if found == tls else replace(runner, tls=found)


def _existing(directory: Path, name: str) -> str:
    file = directory / "certs" / name
    return str(file) if file.is_file() else ""
