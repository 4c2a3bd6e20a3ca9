"""Runs the pod's shell scripts on this machine: two supervisors and a follower, no container."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from podlane.executors.kubernetes import shelltexts

SHELLS = {
    "busybox": ["busybox", "ash"],
    "dash": ["dash"],
    "bash": ["bash"],
}
DEADLINE_SECONDS = 60.0
DEFAULT_PLAN = (
    ("prepare_script", "helper", "on_success", 1, 0, 0),
    ("get_sources", "helper", "on_success", 1, 0, 0),
    ("step_script", "build", "on_success", 1, 0, 0),
    ("after_script", "build", "always", 1, 0, 1),
    ("upload_artifacts_on_success", "helper", "on_success", 1, 0, 0),
    ("upload_artifacts_on_failure", "helper", "on_failure", 1, 0, 0),
    ("cleanup_file_variables", "helper", "always", 1, 0, 1),
)


@dataclass
class Told:
    """What the follower printed, and how the build container ended."""

    exit_code: int
    output: bytes
    records: list[dict[str, str]]

    @property
    def ends(self) -> dict[str, tuple[str, str]]:
        """State and code by stage."""
        return {
            record["stage"]: (record["state"], record["code"])
            for record in self.records
            if record.get("state", "started") != "started"
        }

    @property
    def done(self) -> str:
        """The follower's last word."""
        return next((r["done"] for r in self.records if "done" in r), "")


@dataclass
class Rig:
    """A log directory, a script directory and the shells that run in them."""

    root: Path
    shell: list[str]
    plan: tuple[tuple[str, str, str, int, int, int], ...] = DEFAULT_PLAN
    scripts: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    grace: int = 15  # seconds; longer than a busy machine needs to let a shell end
    pre_stop: str = ""
    pre_stop_seconds: int = 60
    gated: bool = False
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def prepare(self) -> None:
        """Write what the Secret would bring and run init-permissions."""
        texts = shelltexts.load()
        for name in ("scripts", "logs", "tools"):
            (self.root / name).mkdir(exist_ok=True)
        if self.shell[0] == "busybox":
            (self.root / "tools" / "busybox").symlink_to(shutil.which("busybox") or "busybox")
        files = {"supervisor": texts.supervisor, "follow": texts.follow, "init": texts.init}
        lines = [
            f"logs {self.logs}",
            f"tools {self.root / 'tools'}",
            f"grace {self.grace}",
            "pause 0",
            *self.words,
        ]
        if self.gated:
            lines.append("gate 1")
        if self.pre_stop:
            lines.append(f"pre_stop {self.pre_stop_seconds}")
            files["stage.pre_stop"] = self.pre_stop
        for stage in self.plan:
            lines.append("stage " + " ".join(map(str, stage)))
            name = stage[0]
            files[f"stage.{name}"] = self.scripts.get(name, f"echo in {name}\n")
        files["plan"] = "\n".join(lines) + "\n"
        for name in ("stage.clear_worktree",):
            if name.removeprefix("stage.") in self.scripts:
                files[name] = self.scripts[name.removeprefix("stage.")]
        for name, text in files.items():
            (self.root / "scripts" / name).write_text(text)
        subprocess.run([*self.shell, str(self.root / "scripts" / "init")], check=True, timeout=10)

    def start(self, script: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*self.shell, str(self.root / "scripts" / script), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def wait_for(self, name: str) -> None:
        """Wait for a record of the supervisors, or a file that a script makes beside them."""
        limit = time.monotonic() + DEADLINE_SECONDS
        while not (self.logs / name).exists():
            assert time.monotonic() < limit, f"no {name}"
            os.sched_yield()

    def run(self, *, after: str = "", then: str = "") -> Told:
        """Run the whole job; when record ``after`` exists, make the file ``then``."""
        self.prepare()
        helper = self.start("supervisor", "helper")
        build = self.start("supervisor", "build")
        follower = self.start("follow", "0", str(helper.pid))
        if then:
            self.wait_for(after)
            (self.logs / then).touch()
        output, records = follower.communicate(timeout=DEADLINE_SECONDS)
        code = build.wait(timeout=DEADLINE_SECONDS)
        helper.send_signal(signal.SIGTERM)
        assert helper.wait(timeout=DEADLINE_SECONDS) == 0
        assert follower.returncode == 0
        return Told(exit_code=code, output=output, records=_records(records))

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def _records(raw: bytes) -> list[dict[str, str]]:
    return [
        dict(word.partition("=")[::2] for word in line.split())
        for line in raw.decode().splitlines()
    ]


def available(name: str) -> bool:
    return shutil.which(SHELLS[name][0]) is not None


def require(name: str) -> None:
    if not available(name):
        pytest.skip(f"{name} is not installed here")
