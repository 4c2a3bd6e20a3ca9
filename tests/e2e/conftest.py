"""One node for all end-to-end tests, or any cluster, and a way to run ``podlane`` on it.

``PODLANE_E2E_KUBECONFIG``: run against that cluster instead of an embedded node of our own.
``PODLANE_E2E_IMAGES``: a JSON file that maps the image names of the tests to names that the cluster
can pull, for example ``{"alpine": "registry.example/alpine:3"}``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PODLANE = (sys.executable, "-m", "podlane.cli.main")
KUBECONFIG = "PODLANE_E2E_KUBECONFIG"
IMAGES = "PODLANE_E2E_IMAGES"
DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Ran:
    """A finished ``podlane`` command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What ``--format json`` printed."""
        return json.loads(self.out)

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs of the document by name."""
        return {job["name"]: job for job in self.document["jobs"]}

    def trace(self, name: str) -> str:
        """The trace of a job."""
        return str(self.jobs[name]["trace"])

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out[-20000:]}\n--- stderr\n{self.err[-8000:]}"


@dataclass(frozen=True)
class Cluster:
    """Where the pods run. ``own`` tells whether it is our node, whose inside a test may look at."""

    kubeconfig: Path
    own: bool
    state_dir: Path | None = None


def start(
    *args: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command; the caller waits for it."""
    return subprocess.Popen(
        [*PODLANE, *map(str, args)],
        cwd=cwd,
        env=os.environ | {"NO_COLOR": "1"} | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )


def podlane(
    *args: str | Path,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Ran:
    """Run a command to its end."""
    with start(*args, cwd=cwd, env=env) as process:
        out, err = ended(process, deadline_seconds)
    return Ran(process.returncode, out, err)


def ended(process: subprocess.Popen[str], deadline_seconds: float = 60.0) -> tuple[str, str]:
    """Wait for a command's end and return what it printed; kill one that does not end."""
    try:
        return process.communicate(timeout=deadline_seconds)
    except BaseException:
        process.kill()
        raise


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of the environment, or an embedded node for this session."""
    if chosen := os.environ.get(KUBECONFIG):
        yield Cluster(kubeconfig=Path(chosen).absolute(), own=False)
        return
    if os.geteuid() != 0:
        pytest.skip(f"the embedded node's tests want root; or set {KUBECONFIG}")
    if shutil.which("crun") is None and shutil.which("runc") is None:
        pytest.skip(f"neither crun nor runc is installed (scripts/bootstrap); or set {KUBECONFIG}")
    state_dir = tmp_path_factory.mktemp("node")
    built = podlane("node", "image", "build", deadline_seconds=600)
    assert built.code == 0, built
    started = podlane("node", "start", "--state-dir", state_dir)
    assert started.code == 0, started
    try:
        kubeconfig = podlane("node", "kubeconfig", "--state-dir", state_dir).out.strip()
        yield Cluster(kubeconfig=Path(kubeconfig), own=True, state_dir=state_dir)
    finally:
        stopped = podlane("node", "stop", "--state-dir", state_dir)
        assert stopped.code == 0, stopped
        assert not mounts_below(state_dir), "the node left mounts behind"


Project = Callable[[str], Path]
IMAGES_OF_THE_TESTS = ("steveazz/noroot-alpine", "steveazz/noroot-debian", "alpine")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Make a project directory from the text of its configuration, images mapped."""
    path = os.environ.get(IMAGES)
    mapping: dict[str, str] = json.loads(Path(path).read_text()) if path else {}

    def mapped(match: re.Match[str]) -> str:
        return f"{match[1]}: {mapping.get(match[2], match[2])}"

    def make(configuration: str) -> Path:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        names = "|".join(map(re.escape, IMAGES_OF_THE_TESTS))
        text = re.sub(
            rf"\b(image|name): ({names})$",
            mapped,
            textwrap.dedent(configuration),
            flags=re.MULTILINE,
        )
        (folder / ".gitlab-ci.yml").write_text(text)
        return folder

    return make


Run = Callable[..., Ran]


@pytest.fixture
def run(cluster: Cluster) -> Run:
    """Run ``podlane run --format json`` in a project on the session's cluster."""

    def run_in(folder: Path, *args: str | Path, env: dict[str, str] | None = None) -> Ran:
        where: Sequence[str | Path] = ["--kubeconfig", cluster.kubeconfig]
        return podlane("run", "--format", "json", *where, *args, cwd=folder, env=env)

    return run_in


def until(process: subprocess.Popen[str], wanted: str) -> None:
    """Read what a command says on stderr until the line ``wanted``."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.strip() == wanted:
            return
    pytest.fail(f"{wanted!r} never came:\n{''.join(seen)}")


def interrupt(process: subprocess.Popen[str], times: int) -> None:
    """Press Ctrl-C once or twice; the second time when the first has been noticed."""
    process.send_signal(signal.SIGINT)
    if times > 1:
        until(process, "stopping the jobs; once more stops at once")
        process.send_signal(signal.SIGINT)


def pods_gone(state_dir: Path, deadline_seconds: float = 10.0) -> bool:
    """Whether the node has no pod any more, given a pod's grace period to end."""
    deadline = time.monotonic() + deadline_seconds
    while time.monotonic() < deadline:
        status = podlane("node", "status", "--state-dir", state_dir, "--format", "json")
        if status.document["pods"] == 0:
            return True
    return False


def share_images(data: Path) -> None:
    """Let another data directory use the images that are there, without building them again."""
    images = Path(os.environ.get("PODLANE_DATA_DIR", "/var/lib/podlane")) / "images"
    data.mkdir(parents=True)
    if images.exists():
        shutil.copytree(images, data / "images", symlinks=True)


def mounts_below(folder: Path) -> list[str]:
    """The mount points below a directory."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(f"{folder}/")]


def processes_of(marker: str) -> list[int]:
    """The processes whose command line or environment names ``marker``, without ourselves."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if marker.encode() in text:
            found.append(int(entry.name))
    return found
