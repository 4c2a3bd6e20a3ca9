"""A helper image without anything of ours but the commands: a shell of busybox, git, no bash, no tools.

GitLab's own helper image is like that, with GitLab's program for the commands; ours, with the same
commands and flags, stands in for it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from podlane.node.images.build import ensure_images
from podlane.node.images.helper_files import BUSYBOX
from podlane.node.images.recipes import default_recipes
from podlane.node.images.store import ImageStore
from podlane.node.images.tree import Tree
from tests.e2e.conftest import Project, podlane

pytestmark = pytest.mark.e2e

IMAGE = "registry.example/stock/helper:1"
PIPELINE = """
    stages: [build, test]
    make:
      stage: build
      image: alpine
      script:
        - mkdir -p out cached
        - echo made > out/file
        - echo VERSION=1.2.3 > build.env
        - echo '<testsuite/>' > junit.xml
        - date > cached/stamp
      after_script:
        - echo "after $CI_JOB_STATUS"
      cache: {key: one, paths: [cached]}
      artifacts:
        paths: [out]
        untracked: true
        exclude: [cached/**]
        reports: {dotenv: build.env, junit: junit.xml}
      variables: {RUNNER_GENERATE_ARTIFACTS_METADATA: "true"}
    use:
      stage: test
      image: steveazz/noroot-alpine
      script:
        - test "$(id -u)" != 0
        - test "$VERSION" = 1.2.3
        - test -s cached/stamp
        - cat out/file
        - echo new > new
      cache: {key: one, paths: [cached], policy: pull}
      artifacts: {paths: [new]}
    fail:
      stage: test
      image: alpine
      script:
        - exit 42
      allow_failure: {exit_codes: 42}
"""


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that has such an image."""
    if os.geteuid() != 0:
        pytest.skip("the embedded node's tests want root")
    if shutil.which("crun") is None and shutil.which("runc") is None:
        pytest.skip("neither crun nor runc is installed (scripts/bootstrap)")
    data_dir = tmp_path_factory.mktemp("stock")
    ours = next(recipe for recipe in default_recipes() if recipe.has_helper)

    def make(tree: Tree) -> None:
        ours.make(tree)
        commands = tree.root / "usr/bin"
        for command in commands.iterdir():
            if command.is_symlink() and str(command.readlink()) == BUSYBOX:
                command.unlink()
                command.symlink_to("busybox")
        (commands / "busybox").unlink()
        (tree.root / BUSYBOX.lstrip("/")).rename(commands / "busybox")
        for name in ("bash", "python3"):
            (commands / name).unlink()
        assert not list(tree.root.rglob("bash"))
        assert (commands / "sh").resolve().name == "busybox"

    recipe = replace(ours, name="stock", names=(IMAGE,), make=make)
    ensure_images(ImageStore(data_dir / "images"), (*default_recipes(), recipe))
    return data_dir


@pytest.mark.parametrize("legacy", ["false", "true"], ids=["attach", "exec"])
def test_a_pipeline_needs_of_the_helper_image_only_a_shell_git_and_the_commands(
    project: Project, tmp_path: Path, stock: Path, legacy: str
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"""
[[runners]]
  url = "http://127.0.0.1"
  token = "glrt-x"
  executor = "kubernetes"
  [runners.kubernetes]
    helper_image = "{IMAGE}"
    pull_policy = "never"
""")
    ran = podlane(
        "run", "--format", "json", "--config", config,
        "--variable", f"FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY={legacy}",
        cwd=project(PIPELINE), env={"PODLANE_DATA_DIR": str(stock)},
    )  # fmt: skip
    assert ran.code == 0, ran
    assert {name: job["status"] for name, job in ran.jobs.items()} == {
        "make": "success", "use": "success", "fail": "failed",
    }, ran  # fmt: skip
    assert ran.jobs["fail"]["exit_code"] == 42
    made = ran.trace("make")
    assert "after success" in made
    for kind in ("archive", "dotenv", "junit"):
        assert f'Uploading artifacts as "{kind}" to coordinator... 201 Created' in made, made
    assert "Created cache" in made
    assert "Successfully extracted cache" in ran.trace("use")
    assert "not found" not in made + ran.trace("use")
