"""What is wrong with a value of the settings that say where jobs run, and how long requests may take."""

from __future__ import annotations

from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.kit.units import go_duration

CLEANUP_SECONDS = 30.0


def problem(key: str, value: object) -> tuple[str, str] | None:
    """Return what is wrong with a value of its type, and what to write instead."""
    if not isinstance(value, str) or not value:
        return None
    if key == "cleanup_resources_timeout" and _seconds(value) is None:
        return f'"{value}" is not a duration', "write it as Go does: 300s, 5m, 1h30m"
    return None


def idle_token(*, allowed: bool, host: str, place: Place) -> list[Diagnostic]:
    """Warn of ``bearer_token_overwrite_allowed`` where GitLab Runner does not obey it either."""
    if not allowed or host:
        return []
    message = "runners.kubernetes.bearer_token_overwrite_allowed has no effect without host"
    hint = "name the API server with host; otherwise jobs work with the manager's identity"
    return [
        Diagnostic(
            code="setting-no-effect", place=place, severity=Severity.WARNING, message=message,
            hint=hint,
        )
    ]  # fmt: skip


def cleanup_seconds(value: str) -> float:
    """Return how long a job's clean-up may take; what GitLab Runner does not take is the default."""
    seconds = _seconds(value)
    return seconds if seconds is not None and seconds > 0 else CLEANUP_SECONDS


def _seconds(value: str) -> float | None:
    size = go_duration(value.removeprefix("-"))
    return -size if size is not None and value.startswith("-") else size
