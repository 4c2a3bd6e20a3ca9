"""What is saved is what is loaded again, and what other tools read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.kit.errors import UsageError
from podlane.node.images.archive import load_archive
from podlane.node.images.config import ImageConfig, ImageSource
from podlane.node.images.export import pack, save_images
from podlane.node.images.layers import unpack
from podlane.node.images.layerstore import layer_name
from podlane.node.images.store import ImageRecord, ImageStore

CONFIG = ImageConfig(
    entrypoint=("/entry",), cmd=("sh",), env=("A=b",), working_dir="/w", user="1000",
    labels=(("k", "v"),),
)  # fmt: skip


def _quiet(_text: str) -> None:
    pass


def _tar(*members: tuple[str, bytes | None]) -> bytes:
    """A tar; a member without content is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.mode = 0o755 if content is None else 0o640
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content or b""))
    return buffer.getvalue()


def _image(store: ImageStore, name: str, *layers: bytes) -> None:
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    digest = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    with store.layers.adding():
        for diff_id, layer in zip(diff_ids, layers, strict=True):
            store.layers.add(diff_id, io.BytesIO(layer))
        record = ImageRecord(
            digest=digest, config=CONFIG, layers=tuple(map(layer_name, diff_ids)),
            source=ImageSource.LOADED,
        )  # fmt: skip
        store.save(record, (name,))


def _saved(store: ImageStore, path: Path, *names: str) -> Path:
    with path.open("wb") as file:
        save_images(store, names, file, _quiet)
    return path


def test_an_image_is_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    store, other = ImageStore(tmp_path / "one"), ImageStore(tmp_path / "two")
    _image(store, "app:1", _tar(("d", None), ("d/file", b"below")), _tar(("top", b"above")))
    _image(store, "app:2", _tar(("d", None), ("d/file", b"below")))
    file = _saved(store, tmp_path / "a.tar", "app:1", "app:2", "app:1")
    loaded = {image.reference: image for image in load_archive(other, file)}
    assert sorted(loaded) == ["docker.io/library/app:1", "docker.io/library/app:2"]
    first = loaded["docker.io/library/app:1"]
    assert first.config == CONFIG
    top, below = first.layers
    assert (top / "top").read_bytes() == b"above"
    assert (below / "d" / "file").read_bytes() == b"below"
    assert stat.S_IMODE((top / "top").stat().st_mode) == 0o640
    with tarfile.open(file) as archive:  # the shared layer is there once
        assert sum(name.endswith("/layer.tar") for name in archive.getnames()) == 2


def test_the_archive_names_its_parts_as_docker_does(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "one")
    _image(store, "app:1", _tar(("file", b"x")))
    store.tag("app:1", "mirror.internal/app:1")
    file = _saved(store, tmp_path / "a.tar", "app:1", "mirror.internal/app:1")
    with tarfile.open(file) as archive:
        (entry,) = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        assert entry["RepoTags"] == ["docker.io/library/app:1", "mirror.internal/app:1"]
        document = json.load(archive.extractfile(entry["Config"]) or io.BytesIO())
        (layer,) = entry["Layers"]
    assert document["rootfs"]["diff_ids"] == [f"sha256:{layer.partition('/')[0]}"]
    assert document["config"]["Entrypoint"] == ["/entry"]
    assert document["os"] == "linux"


def test_links_and_whiteouts_survive(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("overlay's whiteouts are devices: root only")
    root, again = tmp_path / "layer", tmp_path / "again"
    (root / "opaque").mkdir(parents=True)
    again.mkdir()
    (root / "opaque" / "inside").write_text("x")
    os.setxattr(root / "opaque", "trusted.overlay.opaque", b"y")
    os.mknod(root / "gone", stat.S_IFCHR, os.makedev(0, 0))
    (root / "one").write_text("same")
    os.link(root / "one", root / "two")
    (root / "link").symlink_to("one")
    os.chown(root / "one", 12, 34)
    packed = io.BytesIO()
    pack(root, packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        names = archive.getnames()
    assert ".wh.gone" in names
    assert "gone" not in names
    assert "opaque/.wh..wh..opq" in names
    packed.seek(0)
    unpack(packed, again, "trusted")
    assert (again / "gone").lstat().st_rdev == 0
    assert stat.S_ISCHR((again / "gone").lstat().st_mode)
    assert os.getxattr(again / "opaque", "trusted.overlay.opaque") == b"y"
    assert (again / "two").stat().st_ino == (again / "one").stat().st_ino
    assert (again / "one").stat().st_uid == 12
    assert (again / "link").readlink() == Path("one")


@given(
    st.dictionaries(
        st.text(
            st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
            min_size=1,
            max_size=20,
        ).filter(lambda name: name not in {".", ".."} and not name.startswith(".wh.")),
        st.binary(max_size=40),
        max_size=5,
    )
)
def test_any_names_and_contents_survive_and_give_the_same_bytes(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root, again = Path(directory, "a"), Path(directory, "b")
        root.mkdir()
        again.mkdir()
        for name, content in files.items():
            (root / name).write_bytes(content)
        one, two = io.BytesIO(), io.BytesIO()
        pack(root, one)
        pack(root, two)
        assert one.getvalue() == two.getvalue()
        one.seek(0)
        unpack(one, again, "user")
        assert {path.name: path.read_bytes() for path in again.iterdir()} == files


def test_an_unknown_image_is_said_before_anything_is_written(tmp_path: Path) -> None:
    target = io.BytesIO()
    with pytest.raises(UsageError, match="no image missing"):
        save_images(ImageStore(tmp_path), ["missing"], target, _quiet)
    assert target.getvalue() == b""
