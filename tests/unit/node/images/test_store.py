"""The store shows whole images or none, whoever else is at work."""

from __future__ import annotations

import errno
import hashlib
import io
import multiprocessing
import os
import tarfile
from pathlib import Path

import pytest

from podlane.kit.errors import PermanentError
from podlane.node.images.config import ImageConfig, ImageSource, decode_document, encode_document
from podlane.node.images.layerstore import layer_name, store_errors_explained
from podlane.node.images.store import ImageRecord, ImageStore


def _layer(content: bytes) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    data = buffer.getvalue()
    return f"sha256:{hashlib.sha256(data).hexdigest()}", data


def _add(store: ImageStore, name: str, content: bytes = b"x") -> str:
    diff_id, data = _layer(content)
    digest = f"sha256:{hashlib.sha256(name.encode() + content).hexdigest()}"
    with store.layers.adding():
        store.layers.add(diff_id, io.BytesIO(data))
        store.save(
            ImageRecord(
                digest=digest,
                config=ImageConfig(cmd=("sh",)),
                layers=(layer_name(diff_id),),
                source=ImageSource.LOADED,
            ),
            (name,),
        )
    return digest


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def test_an_image_is_found_by_every_spelling(store: ImageStore) -> None:
    assert store.resolve("alpine") is None
    digest = _add(store, "alpine")
    for name in ("alpine", "alpine:latest", "docker.io/library/alpine"):
        found = store.resolve(name)
        assert found is not None
        assert found.digest == digest
        assert (found.layers[0] / "file").read_text() == "x"
        assert found.image_id == f"docker.io/library/alpine@{digest}"
    assert store.tag("alpine", "example.org/mine:1").digest == digest
    assert [image.reference for image in store.list()] == [
        "docker.io/library/alpine:latest", "example.org/mine:1",
    ]  # fmt: skip
    with pytest.raises(PermanentError, match="no image missing"):
        store.tag("missing", "x")


def test_content_goes_with_the_last_name(store: ImageStore) -> None:
    _add(store, "one", b"shared")
    _add(store, "two", b"shared")
    store.tag("one", "three")
    layers = store.root / "layers"
    assert len(list(layers.iterdir())) == 1
    assert store.remove("one")
    assert store.remove("two")
    assert len(list(layers.iterdir())) == 1
    assert store.remove("three")
    assert not store.remove("three")
    assert list(layers.iterdir()) == []
    assert list((store.root / "images").glob("*.json")) == []


def test_what_a_container_uses_stays(store: ImageStore) -> None:
    _add(store, "used")
    image = store.resolve("used")
    assert image is not None
    with store.hold(image):
        store.remove("used")
        assert image.layers[0].is_dir()
    store.prune()
    assert not image.layers[0].exists()
    with pytest.raises(PermanentError, match="removed"), store.hold(image):
        pass


def test_a_node_keeps_what_it_resolved_until_it_is_closed(store: ImageStore) -> None:
    _add(store, "used")
    node = ImageStore(store.root, keep=True)
    image = node.resolve("used")
    assert image is not None
    store.remove("used")
    _add(store, "used", b"built anew")
    store.prune()
    assert image.layers[0].is_dir()
    node.close()
    store.prune()
    assert not image.layers[0].exists()
    assert node.resolve("used") is not None
    node.close()


def test_nothing_is_deleted_while_somebody_adds(store: ImageStore) -> None:
    diff_id, data = _layer(b"on its way")
    with store.layers.adding():
        store.layers.add(diff_id, io.BytesIO(data))
        store.prune()
        assert store.layers.find(diff_id) is not None
    store.prune()
    assert store.layers.find(diff_id) is None


def test_wrong_content_leaves_nothing(store: ImageStore) -> None:
    _, data = _layer(b"x")
    with pytest.raises(PermanentError, match="another digest"):
        store.layers.add("sha256:" + "0" * 64, io.BytesIO(data))
    assert list((store.root / "tmp").iterdir()) == []
    assert not (store.root / "layers").exists()


def test_an_image_without_its_layer_is_no_image(store: ImageStore) -> None:
    _add(store, "broken")
    image = store.resolve("broken")
    assert image is not None
    image.layers[0].rename(store.root / "elsewhere")
    assert store.resolve("broken") is None
    assert store.list() == []
    with pytest.raises(PermanentError, match="try again"):
        store.save(
            ImageRecord(digest=image.digest, config=image.config, layers=("missing",),
                        source=image.source), ("broken",))  # fmt: skip


def test_damaged_tables_are_like_missing_ones(store: ImageStore) -> None:
    _add(store, "one")
    (store.root / "refs.json").write_text("{")
    assert store.list() == []
    assert store.resolve("one") is None


def _die_while_unpacking(root: Path) -> None:
    with ImageStore(root).layers.scratch() as scratch:
        (scratch / "half").write_text("x")
        os._exit(9)


def _add_many(root: Path, number: int) -> None:
    store = ImageStore(root)
    for index in range(5):
        _add(store, f"image-{number}-{index}", b"shared by all")


def test_what_a_killed_process_left_is_swept(store: ImageStore) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_die_while_unpacking, args=(store.root,))
    process.start()
    process.join()
    assert len(list((store.root / "tmp").iterdir())) == 1
    with store.layers.scratch() as mine, store.layers.scratch() as other:
        assert sorted((store.root / "tmp").iterdir()) == sorted([mine, other])


def test_many_processes_add_at_once_and_none_is_lost(store: ImageStore) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_many, args=(store.root, n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(store.list()) == 15
    assert len(list((store.root / "layers").iterdir())) == 1


def _write_to_a_full_disk(root: Path) -> None:
    with store_errors_explained(root):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_a_sentence_with_a_place(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=f"no space left on device.*{tmp_path}"):
        _write_to_a_full_disk(tmp_path)
    with pytest.raises(PermanentError, match="cannot be written"), store_errors_explained(tmp_path):
        raise OSError(errno.EROFS, "Read-only file system")
    with pytest.raises(OSError, match="other"), store_errors_explained(tmp_path):
        raise OSError(errno.EIO, "other")


def test_configurations_survive_the_way_to_json_and_back() -> None:
    config = ImageConfig(entrypoint=("/e",), cmd=("c",), env=("A=1", "B=x=y", "A=2"), user="u",
                         working_dir="/w", stop_signal="SIGINT", labels=(("k", "v"),))  # fmt: skip
    document = decode_document(encode_document(config, ("sha256:1",), "amd64"), "x")
    assert document.image_config() == config
    assert document.diff_ids == ("sha256:1",)
    assert config.variables == {"A": "2", "B": "x=y"}
    assert decode_document(b'{"config": {"Cmd": null, "Env": null}}', "x").image_config().cmd == ()
    with pytest.raises(PermanentError, match="configuration of image x is not valid"):
        decode_document(b'{"config": {"Cmd": 1}}', "x")
