"""What a node needs of the machine, looked at one by one: values for ``podlane doctor``.

Nothing here changes the machine, except for trials that undo themselves.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from podlane.kit.errors import PodlaneError
from podlane.node import machine, rootless
from podlane.node.runtime import cgroups, oci
from podlane.node.runtime.cgroups import Layout
from podlane.node.runtime.mounts import can_overlay, in_user_namespace
from podlane.node.settings import NodeSettings

_WANTED_BYTES = 2 * 1024**3
_NEEDED_BYTES = 200 * 1024**2
_VERSION_SECONDS = 10.0


class Level(StrEnum):
    """How bad a finding is: fine, works with less, does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that a node needs. ``fix`` says what to do when it is not fine."""

    name: str
    level: Level
    what: str
    fix: str = ""


def checks(settings: NodeSettings) -> list[Check]:
    """Look at everything. Blocks for some milliseconds; raises nothing."""
    looks: list[tuple[str, Callable[[NodeSettings], Check]]] = [
        ("system", _system),
        ("rights", _rights),
        ("runtime", _runtime),
        ("control groups", _cgroups),
        ("overlay", _overlay),
        ("disk", _disk),
        ("certificates", _openssl),
        ("network", _network),
        ("port", _port),
    ]
    return [_looked(name, look, settings) for name, look in looks]


def _looked(name: str, look: Callable[[NodeSettings], Check], settings: NodeSettings) -> Check:
    try:
        return look(settings)
    except PodlaneError as error:
        return Check(name=name, level=Level.FAIL, what=error.message, fix=error.hint or "")
    except OSError as error:
        return Check(name=name, level=Level.FAIL, what=f"cannot be looked at: {error}")


def _system(_settings: NodeSettings) -> Check:
    if platform.system() == "Linux":
        return Check(name="system", level=Level.OK, what=f"Linux {os.uname().release}")
    return Check(
        name="system",
        level=Level.FAIL,
        what=f"the embedded node needs Linux, this is {platform.system()}",
        fix="use a cluster: --kubeconfig or --context",
    )


def _rights(_settings: NodeSettings) -> Check:
    name = "rights"
    if os.geteuid() == 0 and not in_user_namespace():
        return Check(name=name, level=Level.OK, what="root")
    if os.geteuid() == 0:
        top = machine.highest_uid()
        return Check(
            name=name, level=Level.OK, what=f"root of a user namespace with ids 0 to {top}"
        )
    why = rootless.obstacle()
    if why is not None:
        return Check(name=name, level=Level.FAIL, what=why.message, fix=why.hint or "")
    if not rootless.has_range():
        return Check(
            name=name,
            level=Level.WARN,
            what="no ids in /etc/subuid and /etc/subgid for this user: containers can only be root",
            fix=f"as root: {rootless.range_hint()}",
        )
    return Check(name=name, level=Level.OK, what="an ordinary user, by a user namespace")


def _runtime(settings: NodeSettings) -> Check:
    program = oci.find_program(settings.runtime)
    done = subprocess.run(
        [program, "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_VERSION_SECONDS,
        check=False,
    )
    said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
    if done.returncode != 0:
        return Check(
            name="runtime",
            level=Level.FAIL,
            what=f"{program} does not run: {said[-1] if said else f'exit code {done.returncode}'}",
            fix="install it again, or install the other one of crun and runc",
        )
    return Check(name="runtime", level=Level.OK, what=f"{program}, {said[0] if said else '?'}")


def _cgroups(settings: NodeSettings) -> Check:
    name, groups = "control groups", cgroups.find()
    if groups.layout is Layout.NONE:
        return Check(
            name=name,
            level=Level.WARN,
            what="no control groups are mounted: limits are not enforced",
            fix="mount them: mount -t cgroup2 none /sys/fs/cgroup",
        )
    is_root = os.geteuid() == 0 and not in_user_namespace()
    runtime = Path(oci.find_program(settings.runtime)).name
    if groups.stray and runtime == "crun":
        names = " ".join(groups.stray)
        return Check(
            name=name,
            level=Level.OK if is_root else Level.FAIL,
            what=f"hybrid with {names} left on v2, where crun refuses to work"
            + ("; a node mounts them" if is_root else ""),
            fix="; ".join(_mount_line(controller) for controller in groups.stray),
        )
    if not is_root:
        return Check(
            name=name,
            level=Level.WARN,
            what=f"{groups.layout}; without root, limits are not enforced",
            fix="run as root where memory and CPU limits matter",
        )
    if not cgroups.writable(groups):
        return Check(
            name=name,
            level=Level.WARN,
            what=f"{groups.layout}, not writable: limits are not enforced",
            fix="give this container or service a writable /sys/fs/cgroup",
        )
    return Check(name=name, level=Level.OK, what=str(groups.layout))


def _mount_line(controller: str) -> str:
    path = cgroups.ROOT / controller
    return f"mkdir -p {path} && mount -t cgroup -o {controller} cgroup {path}"


def _overlay(settings: NodeSettings) -> Check:
    name, directory = "overlay", _existing(settings.data_dir)
    if os.geteuid() != 0:
        return Check(name=name, level=Level.OK, what="tried when the node has its namespace")
    if not os.access(directory, os.W_OK):
        return Check(
            name=name,
            level=Level.FAIL,
            what=f"{directory} cannot be written",
            fix="choose another data directory with PODLANE_DATA_DIR",
        )
    if can_overlay(directory):
        return Check(name=name, level=Level.OK, what=f"works in {directory}")
    return Check(
        name=name,
        level=Level.WARN,
        what=f"no overlay mounts in {directory}: images are copied for each container, slowly",
        fix="put the data directory on a volume that is not itself an overlay",
    )


def _disk(settings: NodeSettings) -> Check:
    directory = _existing(settings.data_dir)
    free = shutil.disk_usage(directory).free
    what = f"{free / 1024**3:.1f} GiB free in {directory}"
    level = Level.OK if free >= _WANTED_BYTES else Level.WARN
    if free < _NEEDED_BYTES:
        level = Level.FAIL
    fix = "" if level is Level.OK else "free some space, or choose another data directory"
    return Check(name="disk", level=level, what=what, fix=fix)


def _openssl(settings: NodeSettings) -> Check:
    name = "certificates"
    if (settings.pki_dir / "server.crt").is_file():
        return Check(name=name, level=Level.OK, what=f"in {settings.pki_dir}")
    if shutil.which("openssl"):
        return Check(name=name, level=Level.OK, what="will be made by openssl")
    return Check(
        name=name,
        level=Level.FAIL,
        what="there is no openssl command to make the node's certificate",
        fix="apt-get install openssl",
    )


def _network(settings: NodeSettings) -> Check:
    name = "network"
    if settings.network in {"none", "host"}:
        return Check(name=name, level=Level.OK, what=f"{settings.network}, as configured")
    has_rules = any(shutil.which(tool) for tool in ("iptables", "nft"))
    why = fix = ""
    if os.geteuid() != 0 or in_user_namespace():
        why, fix = "without root", "run as root"
    elif not has_rules:
        why, fix = "without iptables or nft", "apt-get install iptables"
    if not why:
        return Check(name=name, level=Level.OK, what="pods reach the outside by NAT")
    return Check(
        name=name,
        level=Level.FAIL if settings.network == "nat" else Level.WARN,
        what=f"{why}, pods reach this machine's announced ports, but not the outside",
        fix=f"{fix}; or use the machine's network: podlane node start --network host",
    )


def _port(settings: NodeSettings) -> Check:
    name, port = "port", settings.listen_port
    if port == 0:
        return Check(name=name, level=Level.OK, what="any free one on 127.0.0.1")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            return Check(
                name=name,
                level=Level.FAIL,
                what=f"127.0.0.1:{port} cannot be used: {error.strerror}",
                fix="choose another port, or stop who has it",
            )
    return Check(name=name, level=Level.OK, what=f"127.0.0.1:{port} is free")


def _existing(directory: Path) -> Path:
    """Return the directory, or the next one above that exists."""
    for candidate in (directory, *directory.parents):
        with suppress(OSError):
            if candidate.is_dir():
                return candidate
    return Path("/")
