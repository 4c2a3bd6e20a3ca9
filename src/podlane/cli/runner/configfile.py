"""A runner's ``config.toml`` for a command: read, findings shown, settings returned."""

from __future__ import annotations

from pathlib import Path

from podlane.cli import output, reports
from podlane.kit.diagnostics import has_errors
from podlane.kit.errors import UsageError
from podlane.runner.configuration.config_file import load_config
from podlane.runner.configuration.settings import GlobalSettings
from podlane.runner.configuration.toml_table import without_secrets


def load(path: Path, out: output.Output, *, needs_gitlab: bool = True) -> GlobalSettings:
    """Return the settings of the file, its findings shown.

    ``needs_gitlab`` false: the runner will be pointed at a coordinator of our own, so the file may
    lack ``url`` and ``token``.

    Raises:
        UsageError: the file cannot be used.
    """
    settings, found = load_config(path)
    findings = [f for f in found if needs_gitlab or f.code != "setting-missing"]
    source = without_secrets(path.read_text()) if findings else None
    for finding in findings:
        out.note(reports.painted(out, finding, source))
    if has_errors(findings):
        raise UsageError(f"{path} cannot be used", hint="mend what is listed above")
    return settings
