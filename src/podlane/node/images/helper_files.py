"""The helper image's own part: Python without what no helper needs, and our helper program."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import podlane
from podlane.kit.errors import PermanentError
from podlane.node.images.tree import Tree

HOME = "/usr/lib/podlane"
BUSYBOX = f"{HOME}/busybox"
_PYTHON = Path("/usr/bin/python3")
_TIMEOUT_SECONDS = 60
_LEFT_OUT = frozenset({
    "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "distutils",
    "pydoc_data", "venv", "curses", "sqlite3", "dbm", "config-3", "sitecustomize.py",
    "EXTERNALLY-MANAGED", "dist-packages", "site-packages", "msilib", "wsgiref", "xmlrpc",
})  # fmt: skip
_EXTENSIONS_LEFT_OUT = ("_sqlite3", "_curses", "_dbm", "_gdbm", "readline", "nis", "_tkinter", "_test",
                        "_xxtest", "xxlimited", "audioop", "ossaudiodev", "_codecs_")  # fmt: skip

_LAUNCHER = """\
#!{python} -IS
import sys

sys.path.insert(0, "{home}/python")
from podlane.helper.main import main

sys.exit(main())
"""

# The entry of every predefined script: what it makes must be writable for the job's user.
_BUILD_SHELL = """\
#!/bin/sh
umask 0000
if [ -x /bin/bash ]; then
  exec /bin/bash "$@"
fi
exec /bin/sh "$@"
"""


def source_files() -> Iterator[Path]:
    """Yield the modules that the helper image carries."""
    package = Path(podlane.__file__).parent
    yield package / "__init__.py"
    yield from sorted((package / "helper").rglob("*.py"))


def source_stamp() -> str:
    """Return what changes when a source file is touched; costs one stat for each."""
    return ",".join(f"{p.name}-{s.st_mtime_ns}-{s.st_size}" for p, s in _stats())


def source_digest() -> str:
    """Return the digest of the helper's source."""
    digest = hashlib.sha256(f"{_LAUNCHER}{_BUILD_SHELL}{_our_version()}".encode())
    for path in source_files():
        data = path.read_bytes()
        digest.update(f"{path.name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def add_python(tree: Tree) -> None:
    """Copy Debian's Python: interpreter and standard library, with compiled modules."""
    python = _PYTHON.resolve()
    library = Path(f"/usr/lib/{python.name}")
    if not (library / "http/client.py").is_file():
        raise PermanentError(
            "Debian's Python is not complete on this machine: no http.client in " + str(library),
            hint="apt-get install -y --no-install-recommends python3",
        )
    unused = {
        path.name
        for path in library.rglob("*")
        if path.name.startswith(("config-3", *_EXTENSIONS_LEFT_OUT)) or path.suffix == ".rst"
    }
    tree.copy(str(python))
    tree.link("/usr/bin/python3", python.name)
    tree.copy_below(str(library), leave_out=_LEFT_OUT | unused)


def add_helper(tree: Tree) -> None:
    """Add our program and its commands, compiled."""
    python = _PYTHON.resolve()
    package = Path(podlane.__file__).parent
    for path in source_files():
        tree.file(f"{HOME}/python/podlane/{path.relative_to(package)}", path.read_bytes())
    tree.file(f"{HOME}/python/podlane/helper/VERSION", f"{_our_version()}\n")
    launcher = _LAUNCHER.format(python=python, home=HOME)
    tree.file("/usr/bin/gitlab-runner-helper", launcher, 0o755)
    tree.file("/usr/bin/gitlab-runner-build", _BUILD_SHELL, 0o755)
    done = subprocess.run(
        [str(python), "-IS", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
         "-s", str(tree.root), str(tree.root / HOME.lstrip("/") / "python")],
        capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise PermanentError(f"{python} cannot compile the helper: {done.stdout}{done.stderr}")


def _our_version() -> str:
    try:
        return importlib.metadata.version("podlane")
    except importlib.metadata.PackageNotFoundError:
        return "development"


def _stats() -> Iterator[tuple[Path, os.stat_result]]:
    for path in source_files():
        yield path, path.stat()
