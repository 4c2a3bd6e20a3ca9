"""The images that are made from Debian packages: built once, and really running."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from podlane.node.images import packages
from podlane.node.images.build import ensure_images
from podlane.node.images.config import ImageConfig, ImageSource, StoredImage
from podlane.node.images.recipes import Recipe, default_recipes, helper_names
from podlane.node.images.store import ImageStore
from podlane.node.images.tree import Tree
from podlane.node.images.users import resolve_user

needs_debian = pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="needs dpkg")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def _recipe(marker: list[str], packages_needed: tuple[str, ...] = ()) -> Recipe:
    def make(tree: Tree) -> None:
        marker.append("made")
        tree.file("/etc/motd", "hello")

    return Recipe(
        name="tiny",
        names=("tiny", "example.org/also:1"),
        required=packages_needed,
        inputs=("dpkg",),
        config=ImageConfig(user="0"),
        make=make,
    )


@needs_debian
def test_an_image_is_built_once_and_again_when_it_was_removed(tmp_path: Path) -> None:
    store, made = ImageStore(tmp_path / "images"), list[str]()
    recipes = (_recipe(made),)
    assert ensure_images(store, recipes).built == ("tiny",)
    assert ensure_images(store, recipes).present == ("tiny",)
    assert ensure_images(ImageStore(store.root), recipes).present == ("tiny",)
    image = store.resolve("example.org/also:1")
    assert image is not None
    assert image.source is ImageSource.BUILT
    assert (image.layers[0] / "etc/motd").read_text() == "hello"
    store.remove("tiny")
    assert ensure_images(store, recipes).built == ("tiny",)
    assert ensure_images(store, recipes, again=True).built == ("tiny",)
    assert len(made) == 3
    assert len(list((store.root / "layers").iterdir())) == 1, "the old layer is gone"


@needs_debian
def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    recipes = (_recipe([], ("dpkg", "no-such-package-of-debian")),)
    with pytest.raises(packages.MissingPackagesError) as caught:
        ensure_images(ImageStore(tmp_path), recipes)
    assert caught.value.packages == ("no-such-package-of-debian",)
    assert "apt-get install" in (caught.value.hint or "")


def test_a_machine_without_dpkg_is_told_what_it_can_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_DPKG_PATH", str(tmp_path))
    with pytest.raises(packages.MissingPackagesError, match="no dpkg") as caught:
        ensure_images(ImageStore(tmp_path / "images"))
    assert "podlane node image load" in (caught.value.hint or "")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    made = ImageStore(tmp_path_factory.mktemp("images"))
    known = packages.versions(tuple({name for r in default_recipes() for name in r.required}))
    missing = {name for r in default_recipes() for name in r.required if name not in known}
    if missing:
        pytest.skip(f"not installed: {missing}")
    ensure_images(made)
    return made


def _image(store: ImageStore, name: str) -> StoredImage:
    image = store.resolve(name)
    assert image is not None
    return image


def _run(image: StoredImage, scratch: Path, *argv: str, user: str | None = None) -> str:
    """Run a command in the image's layer, as the image's user, with namespaces alone."""
    who = resolve_user(image, image.config.user if user is None else user)
    scratch.mkdir()
    scratch.chmod(0o777)
    prepare = (
        'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --bind "$1" "$0/tmp" '
        f'&& root=$0 && shift && exec chroot --userspec={who.uid}:{who.gid} --groups="" "$root" "$@"'
    )
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-c", prepare, str(image.layers[0]),
         str(scratch), *argv],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        env={**image.config.variables, "HOME": "/tmp"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_debian
@pytest.mark.root
@needs_root
@pytest.mark.parametrize(
    ("name", "shell", "expected"),
    [
        ("alpine", "/bin/sh", "uid=0(root) gid=0(root)"),
        ("steveazz/noroot-alpine", "/bin/sh", "uid=1000(user) gid=1000(user)"),
        ("steveazz/noroot-debian", "/bin/bash", "uid=1000(user) gid=1000(user)"),
    ],
)
def test_a_job_image_runs_as_its_user(
    store: ImageStore, tmp_path: Path, name: str, shell: str, expected: str
) -> None:
    script = "id; umask; mkdir -p /tmp/a && echo x > /tmp/a/b && ls -l /tmp/a; . /etc/os-release"
    output = _run(_image(store, name), tmp_path / "b", shell, "-c", f"{script}; echo $ID")
    assert output.startswith(expected)
    assert output.endswith("debian\n" if "debian" in name else "busybox\n")


class _Backend(http.server.SimpleHTTPRequestHandler):
    """git's dumb protocol over http: a bare repository as plain files."""

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[str]:
    work, bare = tmp_path / "work", tmp_path / "served/repo.git"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(work)]
    subprocess.run(["git", "init", "-q", str(work)], check=True)
    (work / "file").write_text("content")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)
    subprocess.run(["git", "-C", str(bare), "update-server-info"], check=True)
    handler = partial(_Backend, directory=str(bare.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/repo.git"
        server.shutdown()
        thread.join()


@needs_debian
@pytest.mark.root
@needs_root
def test_the_helper_image_clones_and_has_its_commands(
    store: ImageStore, tmp_path: Path, git_server: str
) -> None:
    image = _image(store, helper_names()[0])
    assert _image(store, helper_names()[1]).digest == image.digest
    script = f"""set -e
    git clone -q {git_server} /tmp/clone; cat /tmp/clone/file; echo
    gitlab-runner-helper --version
    /usr/lib/podlane/busybox echo static
    echo 'umask' | gitlab-runner-build
    test -s /etc/ssl/certs/ca-certificates.crt
    git remote-https 2>&1 | head -n 1 || true
    python3 -IS -c 'import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 50)'
    """
    for user in ("", "4711:4711"):
        output = _run(image, tmp_path / f"b{user[:1]}", "sh", "-c", script, user=user).splitlines()
        assert output[0] == "content"
        assert output[1].startswith("gitlab-runner-helper (Podlane)")
        assert output[2:4] == ["static", "0000"]
        assert output[-1] == "True"
