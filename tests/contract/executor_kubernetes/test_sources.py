"""Sources in a pod: from a git server with a certificate of its own that wants the job's token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from podlane.model.job import GitInfo, Image, RunnerLimits, Variable
from podlane.runner.job.plan import make_plan
from tests.contract.executor_kubernetes.conftest import Cluster, Ran, image
from tests.contract.executor_kubernetes.git_server import GitServer, git_server, repository
from tests.fakes.jobs import MANAGER, a_job, a_runner

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]
TOKEN = "job-token-0123456789"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _projects(root: Path) -> str:
    """Three repositories, each a submodule of the next; return the outermost's revision."""
    repository(root, "group/inner", {"inner.txt": "innermost\n"})
    modules = '[submodule "sub"]\n\tpath = sub\n\turl = git@127.0.0.1:group/inner.git\n'
    repository(root, "group/lib", {"lib.txt": "library\n"}, "../../group/inner", modules)
    return repository(root, "group/project", {"main.txt": "sources\n"}, "../../group/lib")


async def _run(
    cluster: Cluster, server: GitServer, sha: str, *script: str, **variables: str
) -> Ran:
    host = server.url.replace("https://", "https://gitlab-ci-token:" + TOKEN + "@")
    info = GitInfo(
        repo_url=f"{host}/group/project.git", ref="main", sha=sha, depth=20,
        refspecs=("+refs/heads/main:refs/remotes/origin/main",),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "git_info": info, "image": Image(name=image("alpine")),
        "runner_info": RunnerLimits(timeout=60), "tls_ca_chain": server.chain,
        "more_variables": tuple(Variable(key=k, value=v) for k, v in variables.items()),
    }  # fmt: skip
    manager = replace(MANAGER, tls_ca_pem=server.ca_pem)
    plan = make_plan(a_job(*script, **fields), a_runner(url=server.url), manager).execution
    annotations = {"podlane.dev/host-ports": str(server.port)}
    return await cluster.run(plan, pod_annotations=annotations)


async def test_sources_and_submodules_come_over_tls_and_leave_no_credentials(
    cluster: Cluster, tmp_path: Path
) -> None:
    if cluster.node is None:
        pytest.skip("only pods of our node reach this machine's loopback")
    sha = _projects(tmp_path)
    async with git_server(tmp_path, TOKEN) as server:
        ran = await _run(
            cluster, server, sha,
            "cat main.txt sub/lib.txt sub/sub/inner.txt",
            f"grep -r {TOKEN[:12]} . ~/.gitconfig /etc/gitconfig 2>/dev/null && exit 9 || true",
            "cat .git/config",
            GIT_SUBMODULE_STRATEGY="recursive", GIT_SUBMODULE_FORCE_HTTPS="true",
        )  # fmt: skip
    assert ran.outcome.succeeded, (ran.outcome, ran.text)
    assert "sources\nlibrary\ninnermost\n" in ran.text
    assert f"url = {server.url}/group/project.git" in ran.text.replace('"', "")
    assert "Updated submodules" in ran.text
    assert server.unauthorized == 0


async def test_a_server_that_is_away_is_asked_again_after_the_work_tree_was_cleared(
    cluster: Cluster, tmp_path: Path
) -> None:
    if cluster.node is None:
        pytest.skip("only pods of our node reach this machine's loopback")
    sha = _projects(tmp_path)
    async with git_server(tmp_path, TOKEN) as server:
        server.refuse = 1
        ran = await _run(cluster, server, sha, "cat main.txt", GET_SOURCES_ATTEMPTS="2")
    assert ran.outcome.succeeded, (ran.outcome, ran.text)
    assert ran.text.count("Created fresh repository.") == 2
    assert "Retrying...\nDeleting tracked and untracked files...\n" in ran.text


async def test_a_server_of_unknown_origin_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    if cluster.node is None:
        pytest.skip("only pods of our node reach this machine's loopback")
    sha = _projects(tmp_path)
    async with git_server(tmp_path, TOKEN) as server:
        server.ca_pem = ""
        ran = await _run(cluster, server, sha, "cat main.txt")
    assert not ran.outcome.succeeded
    assert "certificate" in ran.text
    assert server.asked == []


async def test_a_server_whose_authority_only_the_manager_knows_is_trusted(
    cluster: Cluster, tmp_path: Path
) -> None:
    if cluster.node is None:
        pytest.skip("only pods of our node reach this machine's loopback")
    sha = _projects(tmp_path)
    async with git_server(tmp_path, TOKEN) as server:
        server.ca_pem, server.chain = "", server.ca_pem
        ran = await _run(cluster, server, sha, "cat main.txt")
    assert ran.outcome.succeeded, (ran.outcome, ran.text)


async def test_the_project_is_where_git_clone_path_says(cluster: Cluster, tmp_path: Path) -> None:
    if cluster.node is None:
        pytest.skip("only pods of our node reach this machine's loopback")
    sha = _projects(tmp_path)
    async with git_server(tmp_path, TOKEN) as server:
        ran = await _run(
            cluster, server, sha, "pwd; cat main.txt; ls -A sub | wc -l",
            GIT_CLONE_PATH="$CI_BUILDS_DIR/elsewhere/here", GIT_STRATEGY="clone",
        )  # fmt: skip
    assert ran.outcome.succeeded, (ran.outcome, ran.text)
    assert "/builds/elsewhere/here\nsources\n0\n" in ran.text
    assert "Skipping Git submodules setup" in ran.text
