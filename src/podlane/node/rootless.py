"""A node of an ordinary user: in a user namespace where it is root, entered by running ourselves again.

The namespace has the user's ranges of /etc/subuid and /etc/subgid, its own mounts and its own
processes. When the node dies, however it dies, the kernel ends every process in there and the mounts
go with them; only files are left for a sweep.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from podlane.kit.errors import UsageError

MARK = "PODLANE_ROOTLESS"
_UNSHARE = ("unshare", "--user", "--map-root-user")
_TRIAL_SECONDS = 10.0
_SPACES = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def needed(environ: Mapping[str, str]) -> bool:
    """Whether a node started now would lack rights that a user namespace gives."""
    return os.geteuid() != 0 and MARK not in environ


def entry_command(argv: Sequence[str], *, has_range: bool) -> tuple[str, ...]:
    """Return the command that runs ``argv`` as root of a namespace of its own. Pure."""
    auto = ("--map-auto",) if has_range else ()
    return (*_UNSHARE, *auto, *_SPACES, "--", *argv)


def enter(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Replace this process by ``argv`` in a user namespace; return only if that is not needed.

    Raises:
        UsageError: this machine does not allow it; the hint says what to change.
    """
    if not needed(environ):
        return
    why = obstacle()
    if why is not None:
        raise why
    command = entry_command(argv, has_range=has_range())
    os.execvpe(command[0], command, {**environ, MARK: "1"})  # noqa: S606 - no shell wanted


def refusal() -> UsageError | None:
    """Enter a namespace for a moment and return why it fails: that may be nowhere to be read."""
    command = entry_command(["true"], has_range=has_range())
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    else:
        if done.returncode == 0:
            return None
        said = done.stderr.decode(errors="replace").strip()
    what = said.splitlines()[-1] if said else "it does not say why"
    return UsageError(
        f"a node without root needs a user namespace, and this machine refuses one: {what}",
        hint="run as root; or allow it (a container's seccomp profile may forbid unshare, and "
        "a masked /proc hinders it); or use a cluster: --kubeconfig or --context",
    )


def obstacle() -> UsageError | None:
    """Return why a user namespace cannot be had, None if it can; tried for real."""
    if shutil.which("unshare") is None:
        return UsageError(
            "a node without root needs the unshare command, which is not installed",
            hint="install util-linux, or run as root",
        )
    if has_range() and shutil.which("newuidmap") is None:
        return UsageError(
            "a node without root needs the newuidmap command, which is not installed",
            hint="install it (as root): apt-get install uidmap",
        )
    for path, bad in (
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        if _read(path) == bad:
            name = path.removeprefix("/proc/sys/").replace("/", ".")
            good = {"0": "1", "1": "0"}[bad] if "max" not in name else "15000"
            return UsageError(
                f"a node without root needs user namespaces, which {name}={bad} forbids",
                hint=f"allow them (as root): sysctl -w {name}={good}; or run as root",
            )
    return refusal()


def has_range() -> bool:
    """Whether this user has ids to give away, in both files."""
    return all(range_size(Path(path)) > 0 for path in ("/etc/subuid", "/etc/subgid"))


def range_size(path: Path) -> int:
    """Return how many ids a file grants to this user."""
    uid = os.getuid()
    try:
        names = {str(uid), pwd.getpwuid(uid).pw_name}
    except KeyError:
        names = {str(uid)}
    rows = (line.split(":") for line in _read(str(path)).splitlines())
    return sum(int(row[2]) for row in rows if len(row) == 3 and row[0] in names)  # noqa: PLR2004 - subuid(5)


def range_hint() -> str:
    """Return the command that gives this user a range."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
