"""Coordinator and runner as processes of their own, and what a test asks of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.conftest import Cluster, Ran, ended, podlane, start


@dataclass(frozen=True)
class Coordinator:
    """A ``podlane coordinator serve`` that runs."""

    url: str
    data_dir: Path
    pid: int

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0

    @property
    def env(self) -> dict[str, str]:
        """What its clients need."""
        token = (self.data_dir / "admin-token").read_text().strip()
        return {"PODLANE_COORDINATOR_TOKEN": token, "PODLANE_COORDINATOR_URL": self.url}

    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs of its pipelines by name."""
        ran = podlane("coordinator", "list", "--all", "--format", "json", env=self.env)
        assert ran.code == 0, ran
        return {job["name"]: job for one in ran.document for job in one["jobs"]}

    def traces(self, pipeline: int = 1) -> dict[str, str]:
        """What the jobs of a pipeline have printed until now, by name."""
        asked = urllib.request.Request(
            f"{self.url}/podlane/v1/pipelines/{pipeline}/jobs",
            headers={"Authorization": f"Bearer {self.env['PODLANE_COORDINATOR_TOKEN']}"},
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return {job["name"]: str(job["trace"]) for job in json.load(answer)["jobs"]}

    def cancel(self, *args: str) -> Ran:
        """Run ``podlane cancel``."""
        return podlane("cancel", *args, env=self.env)

    @contextmanager
    def run(self, folder: Path) -> Iterator[subprocess.Popen[str]]:
        """Run a pipeline there; what has not ended by the end of the block is killed."""
        args = ("run", "--format", "json", "--coordinator", self.url)
        with start(*args, cwd=folder, env=self.env) as process:
            try:
                yield process
            finally:
                process.kill()


@contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a server for the length of the block; it must end cleanly when asked."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = ended(process)
    assert process.returncode == 0, (out, err)
    assert "Traceback" not in err, err


def printed_url(serving: subprocess.Popen[str]) -> str:
    """Wait until a coordinator serves; return the URL that it prints first."""
    assert serving.stdout is not None
    lines = [serving.stdout.readline() for _ in range(3)]
    assert all(lines), lines
    return lines[0].split()[-1]


def write_config(
    file: Path, *, url: str, data_dir: Path, concurrent: int = 2, ports: str = "", keys: str = "",
    more: str = "",
) -> None:  # fmt: skip
    """Write a manager's configuration: one runner of the coordinator with that data, by way of ``url``.

    ``ports`` of this machine are the pods' too, by default the URL's. ``keys`` are further ones of the
    runner; ``more`` of ``[runners.kubernetes.pod_annotations]``, and the tables after it.
    """
    file.write_text(f"""
concurrent = {concurrent}
[[runners]]
  name = "separate"
  url = "{url}"
  token = "{(data_dir / "runner-token").read_text().strip()}"
  executor = "kubernetes"
{keys}
  [runners.kubernetes.pod_annotations]
    "podlane.dev/host-ports" = "{ports or urlsplit(url).port}"
{more}
""")


@contextmanager
def coordinator(data_dir: Path, *, external_url: str = "") -> Iterator[Coordinator]:
    """Run a coordinator; ``external_url`` is what jobs and runners call it."""
    external = ["--external-url", external_url] if external_url else []
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    args = ["--data-dir", str(data_dir), "--listen", place, "--trace-interval", "0.2", *external]
    with running(start("coordinator", "serve", *args)) as process:
        printed_url(process)
        yield Coordinator(url=f"http://{place}", data_dir=data_dir, pid=process.pid)


@contextmanager
def runner(
    found: Coordinator, cluster: Cluster, folder: Path, *, url: str = "", ports: str = "",
    more: str = "",
) -> Iterator[int]:  # fmt: skip
    """Run a runner for the coordinator, by way of ``url``; yields its process id."""
    config = folder / "config.toml"
    write_config(
        config, url=url or found.url, data_dir=found.data_dir, concurrent=10, ports=ports,
        keys='request_concurrency = 4\n[runners.cache]\nType = "coordinator"', more=more,
    )  # fmt: skip
    env = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    with running(start("runner", "run", "--config", config, env=env)) as process:
        yield process.pid
