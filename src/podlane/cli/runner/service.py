"""GitLab Runner's commands around a system service, and others that have no counterpart."""

from __future__ import annotations

from typing import NoReturn

import click

from podlane.kit.errors import UsageError

_SERVICE = "let the system's service manager run `podlane runner run`: systemd, or a Deployment"
_HINTS = {
    **dict.fromkeys(("install", "uninstall", "start", "stop", "restart", "status"), _SERVICE),
    "wrapper": "run `podlane runner run` itself; SIGQUIT and SIGTERM stop it",
    "fleeting": "plugins of fleeting are for other executors",
}


def refusing(name: str) -> click.Command | None:
    """Return a command that says what to do instead, None for what is none of these."""
    hint = _HINTS.get(name)
    if hint is None:
        return None

    def refuse() -> NoReturn:
        raise UsageError(f"`gitlab-runner {name}` has no counterpart in Podlane", hint=hint)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=refuse, hidden=True, context_settings=settings)
