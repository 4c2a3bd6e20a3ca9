"""Layers unpack to overlay directories, and never outside of them."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from podlane.node.images import layers

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are device nodes")


def _tar(*members: tuple[str, dict[str, object], bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, attributes, content in members:
            member = tarfile.TarInfo(name)
            member.mode = 0o644
            for key, value in attributes.items():
                setattr(member, key, value)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def _unpack(root: Path, *members: tuple[str, dict[str, object], bytes]) -> int:
    root.mkdir(exist_ok=True)
    return layers.unpack(_tar(*members), root, layers.xattr_space(root))


def test_files_links_modes_and_times_are_kept(tmp_path: Path) -> None:
    old = {"mode": 0o750, "mtime": 1_000_000_000}
    size = _unpack(
        tmp_path / "l",
        ("d", {"type": tarfile.DIRTYPE, **old}, b""),
        ("d/f", {"mode": 0o4755, "mtime": 1_100_000_000}, b"text"),
        ("d/hard", {"type": tarfile.LNKTYPE, "linkname": "d/f"}, b""),
        ("d/soft", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, b""),
        ("without/parents/f", {}, b"x"),
        ("pipe", {"type": tarfile.FIFOTYPE}, b""),
    )
    root = tmp_path / "l"
    assert size == 5
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o750
    assert (root / "d").stat().st_mtime == 1_000_000_000
    assert stat.S_IMODE((root / "d/f").stat().st_mode) == 0o4755
    assert (root / "d/hard").stat().st_ino == (root / "d/f").stat().st_ino
    assert (root / "d/soft").readlink() == Path("/etc/passwd")
    assert stat.S_IMODE((root / "without/parents").stat().st_mode) == 0o755
    assert (root / "pipe").is_fifo()


@pytest.mark.root
@as_root
def test_owners_and_extended_attributes_are_kept(tmp_path: Path) -> None:
    attributes = {"SCHILY.xattr.user.note": "yes", "SCHILY.xattr.trusted.overlay.redirect": "/etc"}
    _unpack(tmp_path / "l", ("f", {"uid": 1000, "gid": 1001, "pax_headers": attributes}, b""))
    info = (tmp_path / "l/f").stat()
    assert (info.st_uid, info.st_gid) == (1000, 1001)
    assert os.listxattr(tmp_path / "l/f") == ["user.note"], "no layer steers our overlay"


@pytest.mark.root
@as_root
def test_whiteouts_become_overlays_own(tmp_path: Path) -> None:
    _unpack(
        tmp_path / "l",
        ("a/.wh.gone", {}, b""),
        ("b/.wh..wh..opq", {}, b""),
        ("c", {}, b"again"),
        (".wh.c", {}, b""),
        (".wh..wh.plnk", {}, b""),
    )
    gone = (tmp_path / "l/a/gone").stat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert os.getxattr(tmp_path / "l/b", "trusted.overlay.opaque") == b"y"
    assert (tmp_path / "l/c").read_text() == "again"
    assert sorted(p.name for p in (tmp_path / "l").iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["../up", "a/../../up", "/../up", ".wh...", "d/.wh."])
def test_a_name_that_climbs_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(layers.LayerError):
        _unpack(tmp_path / "l", (name, {}, b"x"))
    assert list(tmp_path.iterdir()) == [tmp_path / "l"]


def test_links_on_the_way_stay_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = {"type": tarfile.SYMTYPE}
    _unpack(
        tmp_path / "l",
        ("up", link | {"linkname": "../outside"}, b""),
        ("up/f", {}, b"x"),
        ("abs", link | {"linkname": str(outside)}, b""),
        ("abs/g", {}, b"y"),
        ("lib", link | {"linkname": "usr/lib"}, b""),
        ("lib/h", {}, b"z"),
    )
    assert list(outside.iterdir()) == []
    assert (tmp_path / "l/outside/f").read_text() == "x"
    assert (tmp_path / "l" / str(outside).lstrip("/") / "g").read_text() == "y"
    assert (tmp_path / "l/usr/lib/h").read_text() == "z"


def test_a_later_entry_replaces_an_earlier_one_and_never_writes_through_a_link(
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("safe")
    _unpack(
        tmp_path / "l",
        ("f", {"type": tarfile.SYMTYPE, "linkname": str(victim)}, b""),
        ("f", {"mode": 0o777}, b"new"),
        ("d/x", {}, b""),
        ("d", {}, b"now a file"),
        ("e", {}, b"now a directory"),
        ("e/y", {}, b"y"),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "e"}, b""),
        ("link/one", {}, b"1"),
        ("link", {"type": tarfile.DIRTYPE, "mode": 0o755}, b""),
        ("link/two", {}, b"2"),
    )
    assert sorted(p.name for p in (tmp_path / "l/e").iterdir()) == ["one", "y"]
    assert [p.name for p in (tmp_path / "l/link").iterdir()] == ["two"]
    assert victim.read_text() == "safe"
    assert (tmp_path / "l/f").read_text() == "new"
    assert (tmp_path / "l/d").read_text() == "now a file"
    assert (tmp_path / "l/e/y").read_text() == "y"


@pytest.mark.parametrize("target", ["missing", "../../etc/passwd", "/etc/shadow", "d", "."])
def test_a_hard_link_to_what_the_layer_does_not_contain_is_refused(
    tmp_path: Path, target: str
) -> None:
    with pytest.raises(layers.LayerError):
        _unpack(
            tmp_path / "l",
            ("d", {"type": tarfile.DIRTYPE, "mode": 0o755}, b""),
            ("f", {"type": tarfile.LNKTYPE, "linkname": target}, b""),
        )


def test_links_in_a_circle_end_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(layers.LayerError, match="too many symbolic links"):
        _unpack(
            tmp_path / "l",
            ("a", {"type": tarfile.SYMTYPE, "linkname": "b"}, b""),
            ("b", {"type": tarfile.SYMTYPE, "linkname": "a"}, b""),
            ("a/f", {}, b"x"),
        )


@pytest.mark.parametrize("cut", [1, 300, 1500])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: int) -> None:
    data = _tar(("f", {}, b"x" * 1000)).getvalue()[:cut]
    (tmp_path / "l").mkdir()
    with pytest.raises(layers.LayerError, match="not a valid tar"):
        layers.unpack(io.BytesIO(data), tmp_path / "l", "user")
