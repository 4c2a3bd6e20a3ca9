"""FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR: the helper learns whom the job's files shall belong to."""

from __future__ import annotations

import pytest

from podlane.model.outcome import SUCCESS
from tests.contract.executor_kubernetes.conftest import LEGACY, Cluster, make_plan

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]
OWNER = ("FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR", True)
BOTH = pytest.mark.parametrize("flags", [(OWNER,), (OWNER, LEGACY)], ids=["attach", "exec"])
Flags = tuple[tuple[str, bool], ...]
GET = """
echo "umask is $(umask)"
until [ -s "$PODLANE_BUILD_USER" ]; do sleep 0.1; done
mkdir /builds/project
chown "$(cat "$PODLANE_BUILD_USER")" /builds/project
"""


@BOTH
@pytest.mark.parametrize(("uid", "gid"), [(1000, 1000), (4711, 4712), (0, 0)])
async def test_the_helper_learns_the_user_of_the_build_container(
    cluster: Cluster, flags: Flags, uid: int, gid: int
) -> None:
    script = "touch /builds/project/mine && stat -c 'owned by %u:%g, mode %a' /builds/project"
    plan = make_plan(script, scripts={"get_sources": GET}, flags=flags)
    context = {"run_as_user": uid, "run_as_group": gid}
    ran = await cluster.run(plan, build_container_security_context=context)
    assert ran.outcome == SUCCESS, ran
    assert "umask is 0022\n" in ran.text
    assert f"owned by {uid}:{gid}, mode 755\n" in ran.text
