"""What the first process of a container owes the others: orphans that ended do not stay for ever."""

from __future__ import annotations

import pytest

from podlane.model.outcome import SUCCESS
from tests.contract.executor_kubernetes.conftest import LEGACY, Cluster, make_plan

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]
BOTH = pytest.mark.parametrize("flags", [(), (LEGACY,)], ids=["attach", "exec"])
Flags = tuple[tuple[str, bool], ...]

# Twenty processes lose their parent, and end; then the script looks until no zombie is left.
ORPHANS = """
i=0
while [ $i -lt 20 ]; do (sleep 0.1 &); i=$((i + 1)); done
sleep 0.5
tries=0
while [ $tries -lt 100 ]; do
  zombies=$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ' Z 1 ' || :)
  [ "$zombies" -eq 0 ] && { echo none left; exit 0; }
  tries=$((tries + 1)); sleep 0.1
done
echo "$zombies zombies"; exit 9
"""


@BOTH
@pytest.mark.parametrize("name", ["alpine", "steveazz/noroot-debian"])
async def test_orphans_are_reaped_while_the_script_still_runs(
    cluster: Cluster, flags: Flags, name: str
) -> None:
    ran = await cluster.run(make_plan(ORPHANS, image_name=name, flags=flags))
    assert "none left\n" in ran.text, ran.text
    assert ran.outcome == SUCCESS


@BOTH
async def test_the_shells_of_the_images_reap_as_well(cluster: Cluster, flags: Flags) -> None:
    """Without static tools of ours, as in the stock helper image."""
    plan = make_plan(ORPHANS, image_name="steveazz/noroot-debian", flags=flags)
    ran = await cluster.run(plan, helper_image="steveazz/noroot-debian")
    assert "none left\n" in ran.text, ran.text
