"""What Debian packages of this machine provide: their files, versions and libraries' places."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from podlane.kit.errors import UsageError

_TIMEOUT_SECONDS = 30
_DPKG_PATH = "/usr/bin:/bin"
_STATUS = Path("/var/lib/dpkg/status")


class MissingPackagesError(UsageError):
    """An image cannot be built before packages are installed; the hint is the command."""

    def __init__(self, packages: tuple[str, ...], image: str) -> None:
        names = " ".join(packages)
        super().__init__(
            f"cannot build the image {image}: not installed on this machine: {names}",
            hint=f"apt-get install -y --no-install-recommends {names}",
        )
        self.packages = packages


class NoDpkgError(MissingPackagesError):
    """This machine is no Debian: nothing can be built here."""

    def __init__(self) -> None:
        super().__init__(("dpkg",), "")
        self.message = "images are built from Debian packages, but this machine has no dpkg"
        self.hint = "load images with `podlane node image load FILE`, or let the node pull them"
        self.args = (self.message,)


def status_stamp() -> str:
    """Return what changes whenever any package is installed, removed or upgraded."""
    try:
        info = _STATUS.stat()
    except OSError:
        return "none"
    return f"{info.st_mtime_ns}-{info.st_size}"


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those of ``names`` that are installed."""
    rows = (line.split("\t") for line in _query("-W", "-f", _FORMAT, *names).splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2].startswith("install ok")}  # noqa: PLR2004 - the three columns of _FORMAT


_FORMAT = "${Package}\t${Version}\t${Status}\n"


def files(names: tuple[str, ...]) -> list[str]:
    """Return the paths that the installed packages ``names`` consist of."""
    listing = _run("dpkg", "-L", *names)
    return [line for line in listing.splitlines() if line.startswith("/") and line != "/."]


def status_of(names: frozenset[str]) -> str:
    """Return the part of dpkg's database that describes ``names``."""
    try:
        paragraphs = _STATUS.read_text(errors="replace").split("\n\n")
    except OSError:
        return ""
    wanted = (p for p in paragraphs if p.partition("\n")[0].removeprefix("Package: ") in names)
    return "".join(f"{paragraph.strip()}\n\n" for paragraph in wanted)


def library_directories() -> tuple[str, ...]:
    """Return where Debian keeps shared libraries of this machine's architecture."""
    triple = f"{platform.machine()}-linux-gnu"
    return (f"/usr/lib/{triple}", f"/lib/{triple}", "/usr/lib", "/lib", "/usr/lib64", "/lib64")


def _query(*args: str) -> str:
    return _run("dpkg-query", *args)


def _run(*argv: str) -> str:
    """Run a program of dpkg; unknown packages are not an error here: they are absent."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False,
            env={"LC_ALL": "C.UTF-8", "PATH": _DPKG_PATH},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NoDpkgError from error
    return done.stdout
