"""Images come from a registry whole and verified, or not at all with a sentence."""

from __future__ import annotations

import base64
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from podlane.kit.backoff import Backoff
from podlane.kit.errors import PermanentError, PodlaneError
from podlane.kit.jsonvalue import JsonObject
from podlane.node.images.archive import load_archive
from podlane.node.images.config import ImageSource
from podlane.node.images.manifest import digest_of
from podlane.node.images.pull import Puller
from podlane.node.images.registry import RegistryError
from podlane.node.images.store import ImageStore
from tests.contract.registry_server import (
    PASSWORD,
    USER,
    FakeRegistry,
    Image,
    layer,
    running_registry,
)

pytestmark = pytest.mark.anyio

BASE = layer(
    {"etc/": b"", "etc/passwd": b"app:x:1000:1000::/:/bin/sh\n", "old/": b"", "old/x": b"1"}
)
TOP = layer({"old/.wh.x": b"", "new": b"fresh", "etc/.wh..wh..opq": b"", "etc/motd": b"hi"})
BIG = layer({"big": os.urandom(3_000_000)})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def _puller(store: ImageStore) -> Puller:
    return Puller(store, backoff=Backoff(first_seconds=0, attempts=3))


def _secret(host: str, password: str = PASSWORD) -> JsonObject:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    document = json.dumps({"auths": {host: {"auth": auth}}}).encode()
    return {
        "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(document).decode()},
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are device nodes")
async def test_an_image_is_pulled_once_and_its_layers_are_overlay_directories(
    store: ImageStore,
) -> None:
    image = Image([BASE, TOP])
    async with running_registry() as registry:
        registry.add(image)
        lines: list[str] = []
        pulled = await _puller(store).pull(registry.name(), progress=lines.append)
        assert pulled.source is ImageSource.PULLED
        assert pulled.digest == digest_of(image.manifest)
        assert (pulled.config.cmd, pulled.config.user) == (("sh",), "1000")
        top, base = pulled.layers
        assert (base / "etc/passwd").read_text().startswith("app")
        assert (top / "new").read_text() == "fresh"
        assert stat.S_ISCHR((top / "old/x").stat().st_mode)
        assert os.getxattr(top / "etc", "trusted.overlay.opaque") == b"y"
        assert stat.S_IMODE(base.stat().st_mode) == 0o755
        assert any("downloading" in line for line in lines)
        assert list((store.root / "blobs").iterdir()) == []
        assert list((store.root / "tmp").iterdir()) == []
        requests = len(registry.log)
        again = await _puller(store).pull(registry.name())
        assert again.digest == pulled.digest
        assert len(registry.log) == requests + 1, "only the manifest is asked for"
        by_digest = store.resolve(f"{registry.name()}@{pulled.digest}")
        assert by_digest is not None


async def test_the_manifest_for_this_machine_is_chosen(store: ImageStore) -> None:
    image = Image([BIG])
    async with running_registry() as registry:
        registry.add(image)
        registry.manifests["latest"] = image.index()
        pulled = await _puller(store).pull(registry.name())
        assert pulled.digest == digest_of(image.index())
        registry.manifests["foreign"] = image.index("sparc")
        with pytest.raises(PermanentError, match="it offers linux/mips, linux/sparc"):
            await _puller(store).pull(registry.name("team/app:foreign"))


@pytest.mark.parametrize("needs", ["basic", "bearer"])
async def test_credentials_come_from_the_pull_secrets(store: ImageStore, needs: str) -> None:
    async with running_registry() as registry:
        registry.needs = needs
        registry.add(Image([BIG]))
        secrets = (_secret("elsewhere.example", "wrong"), _secret(registry.host))
        assert (await _puller(store).pull(registry.name(), secrets)).layers
        store.remove(registry.name())
        for bad in ((), (_secret(registry.host, "not-" + PASSWORD),)):
            with pytest.raises(RegistryError, match="pull access denied") as caught:
                await _puller(store).pull(registry.name(), bad)
            assert PASSWORD not in str(caught.value)


async def test_a_broken_connection_is_continued_where_it_broke(store: ImageStore) -> None:
    image = Image([BIG])
    digest = digest_of(image.packed[0])
    async with running_registry() as registry:
        registry.add(image)
        registry.broken = {digest: [1_000_000, 500_000]}
        assert (await _puller(store).pull(registry.name())).layers
        assert len(registry.ranges) == 2
        assert registry.ranges[0] != "bytes=0-"


async def test_the_next_pull_continues_what_the_last_one_left(store: ImageStore) -> None:
    image = Image([BIG])
    digest = digest_of(image.packed[0])
    async with running_registry() as registry:
        registry.add(image)
        registry.broken = {digest: [1_000_000, 0, 0]}
        with pytest.raises(RegistryError, match=r"connection reset|too early"):
            await _puller(store).pull(registry.name())
        assert store.resolve(registry.name()) is None
        registry.ranges.clear()
        assert (await _puller(store).pull(registry.name())).layers
        assert len(registry.ranges) == 1


async def test_a_hiccup_of_the_server_is_survived(store: ImageStore) -> None:
    async with running_registry() as registry:
        registry.add(Image([BIG]))
        registry.fail = [503, 502]
        assert (await _puller(store).pull(registry.name())).layers
        registry.fail = [500] * 3
        with pytest.raises(RegistryError, match=r"unexpected status .* 500"):
            await _puller(store).pull(registry.name())


async def test_wrong_content_is_refused_and_leaves_nothing(store: ImageStore) -> None:
    image = Image([BIG])
    digest = digest_of(image.packed[0])
    async with running_registry() as registry:
        registry.add(image)
        registry.blobs[digest] = bytes(len(image.packed[0]))
        with pytest.raises(RegistryError, match="instead of " + digest):
            await _puller(store).pull(registry.name())
        registry.blobs[digest] = image.packed[0] + b"more"
        with pytest.raises(RegistryError, match=r"longer than its manifest says|digest"):
            await _puller(store).pull(registry.name())
        config = digest_of(image.document)
        registry.blobs[config] = image.document.replace(b"1000", b"0000")
        with pytest.raises(RegistryError, match="failed to verify"):
            await _puller(store).pull(registry.name())
        pinned = f"{registry.name()}@{digest_of(b'other')}"
        registry.manifests[digest_of(b"other")] = image.manifest
        with pytest.raises(RegistryError, match="failed to verify"):
            await _puller(store).pull(pinned)
        assert store.list() == []


async def test_a_layer_that_unpacks_to_something_else_is_refused(store: ImageStore) -> None:
    image = Image([BIG])
    image.layers = [TOP]
    forged = Image([BIG])
    document = forged.document.replace(digest_of(BIG).encode(), digest_of(BASE).encode())
    manifest = json.loads(forged.manifest)
    manifest["config"] = {"digest": digest_of(document), "size": len(document)}
    async with running_registry() as registry:
        registry.add(forged)
        registry.blobs[digest_of(document)] = document
        registry.manifests["latest"] = json.dumps(manifest).encode()
        with pytest.raises(PermanentError, match="another digest"):
            await _puller(store).pull(registry.name())
    assert store.list() == []


async def test_failures_speak_the_words_that_tools_look_for(store: ImageStore) -> None:
    async with running_registry() as registry:
        with pytest.raises(RegistryError, match=r"manifest unknown.*not found"):
            await _puller(store).pull(registry.name())
        host = registry.host
    with pytest.raises(RegistryError, match="connection refused"):
        await _puller(store).pull(f"{host}/team/app")


async def test_an_image_made_on_this_machine_is_never_fetched(
    store: ImageStore, tmp_path: Path
) -> None:
    path = _docker_archive(
        tmp_path / "a.tar", Image([BIG], compress=False), ["127.0.0.1:9/x:latest"]
    )
    (loaded,) = load_archive(store, path)
    assert (await _puller(store).pull("127.0.0.1:9/x")).digest == loaded.digest


async def test_zstd_layers_are_refused_with_a_sentence(store: ImageStore) -> None:
    image = Image([BIG])
    image.packed[0] = b"\x28\xb5\x2f\xfd" + bytes(100)
    manifest = json.loads(image.manifest)
    manifest["layers"] = [{"digest": digest_of(image.packed[0]), "size": 104}]
    async with running_registry() as registry:
        registry.add(image)
        registry.blobs[digest_of(image.packed[0])] = image.packed[0]
        registry.manifests["latest"] = json.dumps(manifest).encode()
        with pytest.raises(PermanentError, match="compressed with zstd"):
            await _puller(store).pull(registry.name())


def _docker_archive(path: Path, image: Image, tags: list[str], **extra: bytes) -> Path:
    manifest = [{
        "Config": "config.json", "RepoTags": tags,
        "Layers": [f"{i}/layer.tar" for i in range(len(image.packed))],
    }]  # fmt: skip
    files = {"config.json": image.document, "manifest.json": json.dumps(manifest).encode()}
    files |= {f"{i}/layer.tar": data for i, data in enumerate(image.packed)}
    path.write_bytes(layer(files | extra))
    return path


def _oci_layout(path: Path, image: Image, name: str) -> Path:
    (path / "blobs/sha256").mkdir(parents=True)
    for data in [image.manifest, *image.blobs.values()]:
        (path / "blobs/sha256" / digest_of(data).removeprefix("sha256:")).write_bytes(data)
    entry = {"digest": digest_of(image.manifest), "size": len(image.manifest),
             "annotations": {"org.opencontainers.image.ref.name": name}}  # fmt: skip
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return path


@pytest.mark.parametrize("compress", [True, False])
async def test_docker_archives_and_oci_layouts_are_loaded(
    store: ImageStore, tmp_path: Path, compress: bool
) -> None:
    image = Image([BIG], compress=compress)
    docker = _docker_archive(tmp_path / "docker.tar", image, ["one:1", "example.org/two:2"])
    layout = _oci_layout(tmp_path / "layout", image, "example.org/three:3")
    packed = tmp_path / "oci.tar"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(layout, ".")
    load_archive(store, docker)
    load_archive(store, layout)
    (named,) = load_archive(store, packed, "four")
    assert named.reference == "docker.io/library/four:latest"
    assert named.source is ImageSource.LOADED
    names = ["one:1", "example.org/two:2", "example.org/three:3", "four"]
    found = [store.resolve(name) for name in names]
    assert all(image is not None for image in found)
    assert len({image.layers for image in found if image}) == 1, "one layer, kept once"


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda p: p.unlink(), "there is no file"),
        (lambda p: p.write_bytes(b"junk" * 1000), "not a tar archive"),
        (lambda p: p.write_bytes(layer({"x": b""})), "neither a docker archive nor an OCI layout"),
        (lambda p: p.write_bytes(layer({"manifest.json": b"[]"})), "no image for this machine"),
        (lambda p: p.write_bytes(layer({"manifest.json": b"{"})), "not valid"),
        (
            lambda p: p.write_bytes(
                layer({"manifest.json": b'[{"Config":"../../etc/passwd","Layers":[]}]'})
            ),
            "no name|missing",
        ),
    ],
)
async def test_a_bad_archive_is_named_with_what_is_wrong(
    store: ImageStore, tmp_path: Path, break_it: object, says: str
) -> None:
    path = _docker_archive(tmp_path / "a.tar", Image([BIG]), ["x"])
    assert callable(break_it)
    break_it(path)
    with pytest.raises(PodlaneError, match=says):
        load_archive(store, path)
    assert store.list() == []


async def test_a_layout_that_points_out_of_itself_is_refused(
    store: ImageStore, tmp_path: Path
) -> None:
    image = Image([BIG], compress=False)
    (tmp_path / "secret").write_bytes(image.packed[0])
    layout = tmp_path / "layout"
    layout.mkdir()
    (layout / "config.json").write_bytes(image.document)
    manifest = [{"Config": "config.json", "RepoTags": ["x"], "Layers": ["../secret"]}]
    (layout / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PermanentError, match="leads out of the directory"):
        load_archive(store, layout)


async def test_two_pulls_at_once_share_nothing_but_the_result(tmp_path: Path) -> None:
    import anyio

    async with running_registry() as registry:
        registry.add(Image([BIG, BASE]))
        stores = [ImageStore(tmp_path / "images") for _ in range(3)]
        digests: list[str] = []

        async def one(store: ImageStore) -> None:
            digests.append((await _puller(store).pull(registry.name())).digest)

        async with anyio.create_task_group() as tasks:
            for store in stores:
                tasks.start_soon(one, store)
        assert len(set(digests)) == 1
        assert len(list((tmp_path / "images/layers").iterdir())) == 2


def test_the_fake_registry_keeps_its_promise() -> None:
    assert FakeRegistry(host="h").name() == "h/team/app"
