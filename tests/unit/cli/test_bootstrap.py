from __future__ import annotations

from pathlib import Path

import pytest

from podlane.node.images import recipes

BOOTSTRAP = Path(__file__).parents[3] / "scripts" / "bootstrap"


@pytest.mark.parametrize("package", [*recipes.BUSYBOX_PACKAGES, *recipes.HELPER_PACKAGES])
def test_the_bootstrap_installs_what_the_images_are_made_of(package: str) -> None:
    table = BOOTSTRAP.read_text().split("PACKAGES='")[1].split("'")[0]
    assert package in [line.split()[0] for line in table.splitlines() if line]
