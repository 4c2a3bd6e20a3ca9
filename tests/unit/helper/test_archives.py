"""Archives of every format hold what they were given, and nothing in them gets out."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from podlane.helper import archive, extract, zipwriter, zstd
from podlane.helper.landing import UnsafeArchiveError
from podlane.helper.zipwriter import PIECE, Compression

FORMATS = ["zip", "zipzstd", "tarzstd"]


def packed(kind: str, paths: list[str], target: Path) -> Path:
    with target.open("wb") as file:
        archive.writer(kind)(paths, file, archive.level("fastest"))
    return target


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Modes and contents below a directory."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        else:
            content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = (mode, content)
    return found


@pytest.mark.parametrize("kind", FORMATS)
def test_a_round_trip_keeps_everything(kind: str, project: Path, tmp_path: Path) -> None:
    data = project / "d"
    (data / "deep/empty").mkdir(parents=True)
    for size in (0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7):
        half = os.urandom(size // 2)
        (data / f"f{size}").write_bytes(half + b"\0" * (size - len(half)))
    (data / "run").write_text("#!/bin/sh\n")
    (data / "run").chmod(0o751)
    (data / "link").symlink_to("../outside")
    (data / "deep").chmod(0o711)
    os.utime(data / "run", (1_600_000_000, 1_600_000_000))
    os.chdir(project)
    paths = ["d", *(str(path.relative_to(project)) for path in sorted(data.rglob("*")))]
    target = tmp_path / "target"
    target.mkdir()
    extract.extract(str(packed(kind, paths, tmp_path / "a")), str(target))
    assert tree(target / "d") == tree(data)
    assert (target / "d/run").stat().st_mtime == 1_600_000_000


def test_many_small_files_are_written_in_order(project: Path, tmp_path: Path) -> None:
    names = [f"f{n:04}" for n in range(600)]
    for name in names:
        (project / name).write_text(name * 10)
    with zipfile.ZipFile(packed("zip", names, tmp_path / "a.zip")) as found:
        assert found.namelist() == names
        assert found.testzip() is None


def test_the_standard_library_reads_what_we_stream(project: Path, tmp_path: Path) -> None:
    (project / "big").write_bytes(bytes(range(256)) * 20_000)
    with zipfile.ZipFile(packed("zip", ["big"], tmp_path / "a.zip")) as found:
        assert found.read("big") == (project / "big").read_bytes()
        assert found.infolist()[0].compress_size < 100_000


def test_a_file_over_the_limits_of_plain_zip_gets_a_zip64_header(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipwriter, "_ZIP64_FROM", PIECE)
    (project / "big").write_bytes(b"x" * 3 * PIECE)
    (project / "small").write_bytes(b"y")
    with zipfile.ZipFile(packed("zip", ["big", "small"], tmp_path / "a.zip")) as found:
        assert found.testzip() is None


def test_a_broken_sink_ends_the_work(project: Path) -> None:
    class Broken:
        def write(self, data: bytes, /) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            pass

    (project / "big").write_bytes(b"x" * 5 * PIECE)
    with pytest.raises(OSError, match="No space left"):
        zipwriter.write_zip(["big"], Broken(), Compression(1))


@pytest.mark.parametrize("kind", ["zipzstd", "tarzstd"])
def test_a_damaged_archive_is_found(kind: str, project: Path, tmp_path: Path) -> None:
    (project / "big").write_bytes(os.urandom(3 * PIECE))
    path = packed(kind, ["big"], tmp_path / "a")
    data = bytearray(path.read_bytes())
    data[PIECE] ^= 1
    path.write_bytes(data)
    with pytest.raises(extract.DAMAGED):
        extract.extract(str(path), str(tmp_path))


def test_a_truncated_stream_is_found(project: Path, tmp_path: Path) -> None:
    (project / "big").write_bytes(os.urandom(3 * PIECE))
    path = packed("tarzstd", ["big"], tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-PIECE])
    with pytest.raises(extract.DAMAGED):
        extract.extract(str(path), str(tmp_path))


def tar_of(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for member in members:
            made.addfile(member, io.BytesIO(b"x" * member.size))
    compressor = zstd.Compressor(1)
    data = compressor.compress(buffer.getvalue(), last=True)
    compressor.close()
    return data


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, 0o644
    made.size = 1 if kind == tarfile.REGTYPE else 0
    return made


@pytest.mark.parametrize(
    "members",
    [
        [member("../out")],
        [member("/out")],
        [member("a/../../out")],
        [member("hard", tarfile.LNKTYPE, "../secret")],
        [member("hard", tarfile.LNKTYPE, "leave/secret")],
        [member("leave/x")],
    ],
)
def test_no_tar_entry_lands_outside(members: list[tarfile.TarInfo], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "leave").symlink_to(tmp_path)
    (tmp_path / "a").write_bytes(tar_of(*members))
    with pytest.raises(UnsafeArchiveError):
        extract.extract(str(tmp_path / "a"), str(root))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "root", "secret"]
    assert (tmp_path / "secret").read_text() == "secret"


def test_hard_links_inside_are_kept_and_devices_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").write_bytes(
        tar_of(member("one"), member("two", tarfile.LNKTYPE, "one"), member("tty", tarfile.CHRTYPE))
    )
    assert extract.extract(str(tmp_path / "a"), str(tmp_path)) == 3
    assert (tmp_path / "two").samefile(tmp_path / "one")
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o644
    assert "tty: neither file, directory nor link" in capsys.readouterr().err


def test_without_the_library_a_sentence_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zstd, "_load", lambda: None)
    with pytest.raises(Exception, match=r"libzstd1.*or the format zip"):
        archive.writer("tarzstd")
