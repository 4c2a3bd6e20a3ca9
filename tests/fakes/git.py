"""Git for tests: without the configuration of whoever runs them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(*words: str, cwd: Path) -> str:
    """Run git; return what it printed."""
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "t", f"GIT_{who}_EMAIL": "t@example.com"}
    run = subprocess.run(
        ["git", *words], cwd=cwd, env=env, check=True, capture_output=True, text=True
    )
    return run.stdout.strip()
