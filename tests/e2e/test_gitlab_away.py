"""GitLab goes away while artifacts travel, for the runner and for the pods; nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import separate
from tests.e2e.conftest import Cluster, Project, Ran, ended
from tests.e2e.gate import Held, gate

pytestmark = pytest.mark.e2e
PATIENCE_SECONDS = 180.0
IN_VAIN = 4  # connections of the runner and of the helper


def test_artifacts_and_traces_are_complete_after_outages(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    if not cluster.own:
        pytest.skip("the pods of another cluster cannot reach a coordinator on loopback")
    folder = project("""
    default:
      image: alpine
    variables: {GIT_STRATEGY: none}
    make:
      stage: build
      script: [head -c 1000000 /dev/urandom > data, md5sum data > sum, echo made]
      artifacts: {paths: [data, sum]}
    use:
      stage: test
      script: [md5sum -c sum]
    """)
    upload, download = Held("/artifacts?artifact"), Held("/artifacts?direct")
    with (
        gate([upload, download]) as front,
        separate.coordinator(tmp_path / "coordinator", external_url=front.url) as found,
    ):
        front.upstream = found.port
        with (
            separate.runner(found, cluster, tmp_path, url=front.url),
            found.run(folder) as process,
        ):
            for held in (upload, download):
                assert held.reached.wait(PATIENCE_SECONDS)
                front.go_away(held)
                assert front.come_back(IN_VAIN, PATIENCE_SECONDS)
            out, err = ended(process, PATIENCE_SECONDS)
    ran = Ran(process.returncode, out, err)
    assert ran.code == 0, ran
    for name, what in (("make", "uploading"), ("use", "downloading")):
        trace = ran.trace(name)
        assert f"{what} artifacts: 127.0.0.1:{front.port} is away" in trace, trace
        assert "Job succeeded" in trace.splitlines()[-1]
    assert "201 Created" in ran.trace("make")
    assert "data: OK" in ran.trace("use")
