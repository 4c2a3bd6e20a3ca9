"""Whatever image and user a job has, it runs: root, a user of its own, no shell at all, restricted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podlane.model.failures import FailureReason
from podlane.model.outcome import SUCCESS
from podlane.node.images import build
from podlane.node.images.config import ImageConfig
from podlane.node.images.recipes import Recipe
from podlane.node.images.store import ImageStore
from podlane.node.images.tree import Tree
from tests.contract.executor_kubernetes.conftest import (
    LEGACY,
    Cluster,
    Meanwhile,
    image,
    make_plan,
    run_and,
)

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]
BOTH = pytest.mark.parametrize("flags", [(), (LEGACY,)], ids=["attach", "exec"])
Flags = tuple[tuple[str, bool], ...]
DISTROLESS = "podlane.invalid/distroless:1"

OWN: dict[str, Any] = {"read_only_root_filesystem": True, "allow_privilege_escalation": False}
RESTRICTED: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "pod_security_context": {
        "run_as_non_root": True,
        "run_as_user": 1000,
        "run_as_group": 1000,
        "fs_group": 1000,
        "seccomp_profile": {"type": "RuntimeDefault"},
    },
    "build_container_security_context": OWN,
    "helper_container_security_context": OWN,
    "init_permissions_container_security_context": OWN,
}


def _passwd_only(tree: Tree) -> None:
    tree.file("/etc/passwd", "root:x:0:0:root:/:/nonexistent\n")


@pytest.fixture
def distroless(cluster: Cluster, data_dir: Path) -> Iterator[str]:
    """An image without any program."""
    if cluster.node is None:
        pytest.skip("needs a node of our own")
    recipe = Recipe(
        name="distroless", names=(DISTROLESS,), required=(), inputs=(), config=ImageConfig(),
        make=_passwd_only,
    )  # fmt: skip
    store = ImageStore(data_dir / "images")
    build._build(store, recipe, f"a test's {DISTROLESS}")
    yield DISTROLESS
    store.remove(DISTROLESS)


@BOTH
async def test_an_image_without_a_shell_gets_that_of_the_helper_image(
    cluster: Cluster, distroless: str, flags: Flags
) -> None:
    script = "echo a b | cut -d' ' -f2; find /etc -name passwd | xargs wc -l; exit 0"
    ran = await cluster.run(make_plan(script, image_name=distroless, flags=flags))
    assert ran.outcome == SUCCESS, ran
    assert "b\n1 /etc/passwd\n" in ran.text


@BOTH
@pytest.mark.parametrize("name", ["alpine", "steveazz/noroot-debian"])
async def test_a_restricted_namespace_needs_no_more_than_its_settings(
    cluster: Cluster, flags: Flags, name: str
) -> None:
    plan = make_plan("id -u; echo x > /builds/file; ls -n /builds", image_name=name, flags=flags)
    ran = await cluster.run(plan, **RESTRICTED)
    assert ran.outcome == SUCCESS, ran
    assert "1000\n" in ran.text


@pytest.mark.parametrize("uid", [0, 1000, 4711])
async def test_helper_and_build_may_be_any_two_users(cluster: Cluster, uid: int) -> None:
    scripts = {"get_sources": "umask 0; mkdir /builds/project; echo x > /builds/project/file"}
    plan = make_plan("cd /builds/project; echo y >> file; mkdir d; cat file", scripts=scripts)
    ran = await cluster.run(
        plan,
        helper_container_security_context={"run_as_user": 1234},
        init_permissions_container_security_context={"run_as_user": 99},
        build_container_security_context={"run_as_user": uid},
    )
    assert ran.outcome == SUCCESS, ran
    assert "x\ny\n" in ran.text


async def test_bash_is_used_when_the_image_has_it(cluster: Cluster) -> None:
    script = 'echo "bash ${BASH_VERSION:+yes}"; type bash'
    assert (
        "bash yes\n"
        in (await cluster.run(make_plan(script, image_name="steveazz/noroot-debian"))).text
    )


@pytest.mark.parametrize("helper", ["alpine", "steveazz/noroot-debian"])
@pytest.mark.parametrize("name", ["alpine", "steveazz/noroot-debian"])
async def test_a_helper_image_without_static_tools_uses_the_shells_of_the_images(
    cluster: Cluster, helper: str, name: str
) -> None:
    """The stock helper image has no static busybox; these two have neither."""
    plan = make_plan("echo in the job; exit 3", image_name=name)
    ran = await cluster.run(plan, helper_image=image(helper))
    assert ran.outcome.exit_code == 3, ran
    assert "in the job\nafter failed\nuploading what there is\n" in ran.text


async def test_a_cancel_works_without_static_tools(cluster: Cluster) -> None:
    async def cancel(environment: Any, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"begun\n")
        await environment.cancel()

    async with cluster.executor(helper_image=image("steveazz/noroot-debian")) as executor:
        plan = make_plan("echo begun; sleep 100", image_name="steveazz/noroot-debian")
        ran = await run_and(executor, plan, cancel)
    assert ran.outcome.reason is FailureReason.JOB_CANCELED
    assert "after canceled\n" in ran.text
    assert ran.seconds < 10
