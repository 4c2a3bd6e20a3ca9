"""The git command, without hooks, background jobs or anything of the caller's ``GIT_*``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import anyio

from podlane.kit.errors import PermanentError, UsageError

_SECONDS = 120.0
# No hooks, no background jobs, no questions. What stays is git's own check of the working tree's owner:
# the configuration of a stranger's repository can run commands.
_CONFIG = {
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.splitIndex": "false",
    "core.hooksPath": "/dev/null",
    "core.safecrlf": "false",
    "advice.addEmbeddedRepo": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "commit.gpgSign": "false",
    "core.looseCompression": "0",
}


def clean_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment for our git commands: nothing of the caller's ``GIT_*`` leaks in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    kept |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    kept["GIT_CONFIG_COUNT"] = str(len(_CONFIG))
    for number, (key, value) in enumerate(_CONFIG.items()):
        kept[f"GIT_CONFIG_KEY_{number}"] = key
        kept[f"GIT_CONFIG_VALUE_{number}"] = value
    return kept | (extra or {})


async def run(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None,
    ok: tuple[int, ...] = (0,),
) -> str:  # fmt: skip
    """Run git and return what it printed.

    Raises:
        UsageError: there is no git.
        PermanentError: it ended with another exit code than ``ok``, or not in time.
    """
    try:
        with anyio.fail_after(_SECONDS):
            done = await anyio.run_process(
                ["git", *arguments], cwd=cwd, check=False, env=clean_environment(environment),
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
    except FileNotFoundError as error:
        raise UsageError("git is not installed", hint="install git (apt install git)") from error
    except TimeoutError as error:
        raise PermanentError(
            f"git {arguments[0]} did not end within {_SECONDS:.0f} s in {cwd}"
        ) from error
    if done.returncode not in ok:
        said = done.stderr.decode(errors="replace").strip()
        hint = "a file may be unreadable, or the disk full"
        if "does not have a commit checked out" in said:
            hint = "that directory is a git repository without a commit: commit there, or ignore it"
        raise PermanentError(
            f"git {arguments[0]} failed in {cwd}: {said or f'exit code {done.returncode}'}",
            hint=hint,
        )
    return done.stdout.decode(errors="surrogateescape").strip()
