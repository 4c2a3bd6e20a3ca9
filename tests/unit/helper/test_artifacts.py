"""Artifacts travel to the coordinator and back, whatever the network does."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from podlane.helper import attempts, ranges
from podlane.helper.main import main
from tests.unit.helper.conftest import Answer, Coordinator, Handler

TOKEN = "glcbt-64_secret-token-of-the-job"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST_SECONDS", 0)
    monkeypatch.setenv("PODLANE_TEST", "value")


def _upload(coordinator: Coordinator, *args: str) -> int:
    argv = ["artifacts-uploader", "--url", f"{coordinator.url}/ci/", "--token", TOKEN, "--id", "7"]
    return main([*argv, *args])


def _download(coordinator: Coordinator, *args: str) -> int:
    argv = ["artifacts-downloader", "--url", coordinator.url, "--token", TOKEN, "--id", "7"]
    return main([*argv, "--retry-time", "0", *args])


def _tree(project: Path) -> None:
    (project / "out/sub").mkdir(parents=True)
    (project / "out/empty").mkdir()
    (project / "out/a.txt").write_text("one\n")
    (project / "out/sub/run.sh").write_text("#!/bin/sh\n")
    (project / "out/sub/run.sh").chmod(0o755)
    (project / "out/link").symlink_to("a.txt")
    os.utime(project / "out/a.txt", (1_600_000_000, 1_600_000_000))
    os.utime(project / "out/link", (1_500_000_000, 1_500_000_000), follow_symlinks=False)


def test_a_round_trip_keeps_content_modes_times_links_and_empty_directories(
    project: Path, coordinator: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _tree(project)
    (project / "out").chmod(0o711)
    assert _upload(coordinator, "--path", "out", "--expire-in", "1 day") == 0
    method, path, headers = coordinator.requests[0]
    assert (method, headers["JOB-TOKEN"]) == ("POST", TOKEN)
    assert path == (
        "/api/v4/jobs/7/artifacts?artifact_format=zip&artifact_type=archive&expire_in=1+day"
    )
    lines = capsys.readouterr().err
    assert "out: found 6 matching artifact files and directories" in lines
    assert 'Uploading artifacts as "archive" to coordinator... 201 Created' in lines
    assert TOKEN not in lines
    name, coordinator.content = coordinator.uploads[0]
    assert name == "artifacts.zip"
    target = tmp_path / "other"
    target.mkdir()
    monkeypatch.chdir(target)
    (target / "out").mkdir()
    (target / "out/a.txt").write_text("older")
    assert _download(coordinator) == 0
    assert "Downloading artifacts from coordinator... ok" in capsys.readouterr().err
    assert (target / "out/a.txt").read_text() == "one\n"
    assert (target / "out/a.txt").stat().st_mtime == 1_600_000_000
    assert stat.S_IMODE((target / "out/sub/run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "out").stat().st_mode) == 0o711
    assert (target / "out/link").readlink() == Path("a.txt")
    assert (target / "out/link").lstat().st_mtime == 1_500_000_000
    assert (target / "out/empty").is_dir()


def test_exclusions_untracked_names_and_patterns_from_the_environment(
    project: Path, coordinator: Coordinator, capsys: pytest.CaptureFixture[str]
) -> None:
    _tree(project)
    (project / "value.txt").touch()
    (project / "abs.txt").touch()
    args = ["--path", "$PODLANE_TEST.txt", "--path", "out/**/*", "--exclude", "out/sub/**",
            "--path", "nothing-*", "--path", "/etc/passwd", "--name", "x-$PODLANE_TEST",
            "--path", f"{project}/abs*", "--path", "./out/../abs.txt", "--path", "../project/*.skip",
            "--exclude", f"{project}/out/e*", "--path", "${NOT_SET:-abs}.txt"]  # fmt: skip
    assert _upload(coordinator, *args) == 0
    lines = capsys.readouterr().err
    assert "value.txt: found 1 matching artifact files and directories" in lines
    assert "out/sub/**: excluded 2 files" in lines
    assert (
        "WARNING: nothing-*: no matching files. Ensure that the artifact path is relative" in lines
    )
    assert "artifact path is not a subpath of project directory: /etc/passwd" in lines
    name, data = coordinator.uploads[0]
    assert name == "x-value.zip"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["abs.txt", "out/a.txt", "out/link", "value.txt"]


def test_untracked_files_are_those_that_git_does_not_know(
    project: Path, coordinator: Coordinator
) -> None:
    os.system("git init -q . && touch known new 'odd name' && git add known")
    assert _upload(coordinator, "--untracked") == 0
    with zipfile.ZipFile(io.BytesIO(coordinator.uploads[0][1])) as archive:
        assert archive.namelist() == ["new", "odd name"]


def test_nothing_to_upload_is_said_and_is_no_failure(
    project: Path, coordinator: Coordinator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _upload(coordinator, "--path", "nothing") == 0
    assert "ERROR: No files to upload" in capsys.readouterr().err
    assert coordinator.requests == []


def test_gzip_has_a_member_for_each_file_and_raw_is_the_file(
    project: Path, coordinator: Coordinator
) -> None:
    (project / "a.xml").write_text("<a/>")
    (project / "b.xml").write_text("<b/>")
    gz = ["--artifact-format", "gzip", "--artifact-type", "junit", "--name", "junit.xml"]
    assert _upload(coordinator, "--path", "*.xml", *gz) == 0
    assert coordinator.uploads[0][0] == "junit.xml.gz"
    assert gzip.decompress(coordinator.uploads[0][1]) == b"<a/><b/>"
    raw = ["--artifact-format", "raw", "--name", "a.xml"]
    assert _upload(coordinator, "--path", "a.xml", *raw) == 0
    assert coordinator.uploads[1] == ("a.xml", b"<a/>")
    assert _upload(coordinator, "--path", "*.xml", "--artifact-format", "raw") == 1
    assert _upload(coordinator, "--path", "*.xml", "--artifact-format", "cpio") == 1


def test_a_statement_of_provenance_is_added_to_the_archive(
    project: Path, coordinator: Coordinator
) -> None:
    _tree(project)
    flags = {"runner-id": "3", "repo-url": "https://h/g/p", "repo-digest": "abc", "job-name": "make",
             "executor-name": "kubernetes", "runner-name": "r", "metadata-parameter": "CI",
             "started-at": "2026-01-02T03:04:05Z", "ended-at": "2026-01-02T03:05:05Z"}  # fmt: skip
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    assert _upload(coordinator, "--path", "out", "--generate-artifacts-metadata", *words) == 0
    with zipfile.ZipFile(io.BytesIO(coordinator.uploads[0][1])) as archive:
        statement = json.loads(archive.read("artifacts-metadata.json"))
    assert statement["_type"] == "https://in-toto.io/Statement/v0.1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    digest = hashlib.sha256(b"one\n").hexdigest()
    assert statement["subject"][0] == {"name": "out/a.txt", "digest": {"sha256": digest}}
    assert [entry["name"] for entry in statement["subject"]] == ["out/a.txt", "out/sub/run.sh"]
    build, run = statement["predicate"].values()
    assert build["externalParameters"] == {
        "CI": "", "entryPoint": "make", "source": "https://h/g/p",
    }  # fmt: skip
    assert build["internalParameters"]["job"] == "7"
    assert build["resolvedDependencies"] == [{"uri": "https://h/g/p", "digest": {"sha256": "abc"}}]
    assert run["builder"]["id"] == "https://h/g/p/-/runners/3"
    assert run["metadata"]["finishedOn"] == "2026-01-02T03:05:05Z"


@pytest.mark.parametrize(("version", "warned"), [("unknown", False), ("v9", True)])
def test_another_version_of_provenance_becomes_v1(
    project: Path,
    coordinator: Coordinator,
    capsys: pytest.CaptureFixture[str],
    version: str,
    warned: bool,
) -> None:
    """GitLab's runner says "unknown" when the job does not choose one."""
    _tree(project)
    words = ("--generate-artifacts-metadata", "--schema-version", version)
    assert _upload(coordinator, "--path", "out", *words) == 0
    with zipfile.ZipFile(io.BytesIO(coordinator.uploads[0][1])) as archive:
        statement = json.loads(archive.read("artifacts-metadata.json"))
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert ("Unknown SLSA provenance version v9" in capsys.readouterr().err) == warned


def test_a_big_file_is_streamed_in_chunks(project: Path, coordinator: Coordinator) -> None:
    data = os.urandom(3_000_000)
    (project / "big").write_bytes(data)
    assert _upload(coordinator, "--path", "big", "--compression-level", "fastest") == 0
    assert coordinator.requests[0][2]["Transfer-Encoding"] == "chunked"
    with zipfile.ZipFile(io.BytesIO(coordinator.uploads[0][1])) as archive:
        assert archive.read("big") == data


def test_an_unreadable_file_is_left_out_with_a_warning(
    project: Path, coordinator: Coordinator, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "readable").write_text("x")
    (project / "secret").touch(mode=0o000)
    (project / "closed").mkdir(mode=0o700)
    os.mkfifo(project / "pipe")
    us = os.geteuid()
    os.seteuid(65534 if us == 0 else us)
    try:
        code = _upload(coordinator, "--path", "*")
    finally:
        os.seteuid(us)
    assert code == 0
    lines = capsys.readouterr().err
    assert "secret: Permission denied: the helper runs as uid" in lines
    assert "pipe: neither file, directory nor link" in lines
    if us == 0:
        assert "may not read this directory; its content is left out" in lines
    with zipfile.ZipFile(io.BytesIO(coordinator.uploads[0][1])) as archive:
        assert archive.namelist() == ["closed/", "readable"]


def _status(status: int, body: bytes = b"{}", *, upload: bool = True) -> Answer:
    def answer(handler: Handler) -> bool:
        if upload:
            handler.body()
        handler.answer(status, body, Content_Type="application/json")
        return True

    return answer


@pytest.mark.parametrize(
    ("statuses", "code", "count"),
    [
        ([500, 502], 0, 3),
        ([500, 500, 500], 1, 3),
        ([500, 503, 500, 504, 500], 1, 5),
        ([503] * 5, 0, 6),
        ([502, 503, 504, 429, 408] * 4, 0, 21),
        ([400], 1, 1),
        ([401], 1, 1),
        ([403], 1, 1),
        ([404], 1, 1),
        ([413], 1, 1),
        ([200], 0, 2),
    ],
)
def test_only_what_may_succeed_is_tried_again(
    project: Path, coordinator: Coordinator, statuses: list[int], code: int, count: int
) -> None:
    (project / "a").touch()
    coordinator.script = [_status(status) for status in statuses]
    assert _upload(coordinator, "--path", "a") == code
    assert len(coordinator.requests) == count


def test_the_coordinators_own_words_are_shown(
    project: Path, coordinator: Coordinator, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "a").touch()
    coordinator.script = [_status(413, b'{"message": "413 the limit is 5 MB"}')]
    assert _upload(coordinator, "--path", "a") == 1
    lines = capsys.readouterr().err
    assert "413 Request Entity Too Large (413 the limit is 5 MB)" in lines
    assert "FATAL: too large" in lines


def test_debugging_shows_the_answer_without_what_gives_access(
    project: Path, coordinator: Coordinator, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "a").touch()

    def answer(handler: Handler) -> bool:
        handler.body()
        handler.answer(
            413, b"x" * 2000, Set_Cookie="session=1", Location="http://h/p?sig=1", X_Limit="5"
        )
        return True

    coordinator.script = [answer]
    assert _upload(coordinator, "--path", "a", "--ci-debug-trace") == 1
    lines = capsys.readouterr().err
    assert "WARNING: received response" in lines
    assert "header[X-Limit]=5" in lines
    assert f"body={'x' * 1024}..." in lines
    assert "session=1" not in lines
    assert "sig=1" not in lines


def test_an_answer_before_the_end_of_the_upload_is_heard(
    project: Path, coordinator: Coordinator
) -> None:
    (project / "big").write_bytes(os.urandom(8_000_000))

    def refuse(handler: Handler) -> bool:
        handler.answer(403)
        handler.connection.shutdown(1)
        while handler.rfile.read1(65536):
            pass
        return True

    coordinator.script = [refuse]
    assert _upload(coordinator, "--path", "big") == 1
    assert len(coordinator.requests) == 1


def _redirect(url: str, status: int = 307, *, upload: bool = True) -> Answer:
    def answer(handler: Handler) -> bool:
        if upload:
            handler.body()
        handler.answer(status, Location=url)
        return True

    return answer


def test_a_redirected_upload_carries_the_token_only_to_the_coordinators_host(
    project: Path, coordinator: Coordinator, storage: Coordinator
) -> None:
    (project / "a").touch()
    coordinator.script = [_redirect(f"{storage.url}/elsewhere")]
    assert _upload(coordinator, "--path", "a") == 0
    assert storage.requests[0][1] == "/elsewhere"
    assert "JOB-TOKEN" not in storage.requests[0][2]
    coordinator.script = [_redirect("/same-host")]
    assert _upload(coordinator, "--path", "a") == 0
    assert coordinator.requests[-1][1] == "/same-host"
    assert coordinator.requests[-1][2]["JOB-TOKEN"] == TOKEN


def _zip(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def test_direct_download_never_shows_the_token_to_object_storage(
    project: Path, coordinator: Coordinator, storage: Coordinator
) -> None:
    storage.content = _zip(a="direct")
    coordinator.script = [_redirect(f"{storage.url}/bucket?sig=x", 302, upload=False)]
    assert _download(coordinator, "--direct-download") == 0
    assert (project / "a").read_text() == "direct"
    assert coordinator.requests[0][1].endswith("?direct_download=true")
    assert "JOB-TOKEN" not in storage.requests[0][2]


def _ranged(content: bytes) -> Answer:
    def answer(handler: Handler) -> bool:
        first, last = handler.headers["Range"].removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        span = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        handler.answer(206, part, Content_Range=span, ETag='"one"')
        return True

    return answer


def test_object_storage_sends_parts_over_several_connections_on_request(
    project: Path, coordinator: Coordinator, storage: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "DEFAULT_CHUNK", 64 * 1024)
    content = _zip(a=os.urandom(300_000).hex())
    away = _redirect(f"{storage.url}/bucket?sig=x", 302, upload=False)
    parallel = {"FF_USE_PARALLEL_ARTIFACT_TRANSFER": "true", "FF_USE_DIRECT_DOWNLOAD": "true"}
    argv = ["artifacts-downloader", "--url", coordinator.url, "--token", TOKEN, "--id", "7"]
    coordinator.script = [away]
    storage.script = [_ranged(content)] * 100
    assert main(argv, parallel) == 0
    assert len((project / "a").read_text()) == 600_000
    spans = {headers["Range"] for _, _, headers in storage.requests}
    assert len(spans) == -(-len(content) // (64 * 1024))
    assert not any("JOB-TOKEN" in headers for _, _, headers in storage.requests)
    (project / "a").unlink()
    coordinator.content = content
    coordinator.script = [away]
    storage.script = [_status(503, upload=False)] * 100
    assert main([*argv, "--retry-time", "0"], parallel) == 0
    assert (project / "a").exists()


def test_object_storage_that_refuses_is_answered_with_a_plain_download(
    project: Path, coordinator: Coordinator, storage: Coordinator
) -> None:
    coordinator.content = _zip(a="proxied")
    coordinator.script = [_redirect(f"{storage.url}/bucket", 302, upload=False)]
    storage.script = [_status(403, upload=False)]
    assert _download(coordinator, "--direct-download") == 0
    assert (project / "a").read_text() == "proxied"
    assert coordinator.requests[1][1] == "/api/v4/jobs/7/artifacts"


def test_a_broken_download_is_continued_where_it_stopped(
    project: Path, coordinator: Coordinator
) -> None:
    content = _zip(a="x" * 5000)

    def half(handler: Handler) -> bool:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.wfile.write(content[:1000])
        return True

    def rest(handler: Handler) -> bool:
        assert handler.headers["Range"] == "bytes=1000-"
        assert handler.headers["If-Range"] == '"one"'
        span = f"bytes 1000-{len(content) - 1}/{len(content)}"
        handler.answer(206, content[1000:], Content_Range=span)
        return True

    coordinator.script = [half, rest]
    assert _download(coordinator) == 0
    assert (project / "a").read_text() == "x" * 5000


@pytest.mark.parametrize(
    ("status", "word", "count"),
    [(401, "unauthorized", 1), (403, "forbidden", 1), (404, "not found", 1), (500, "failed", 3)],
)
def test_a_refused_download_says_why(
    project: Path, coordinator: Coordinator, capsys: pytest.CaptureFixture[str],
    status: int, word: str, count: int,
) -> None:  # fmt: skip
    coordinator.script = [_status(status, upload=False)] * 3
    assert _download(coordinator) == 1
    assert f"Downloading artifacts from coordinator... {word}" in capsys.readouterr().err
    assert len(coordinator.requests) == count


def test_any_name_that_linux_allows_travels(
    project: Path, coordinator: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [b"\xff\xfe", "\u00fc \u2713".encode(), b"back\\slash", b"line\nfeed", b" ", b"-x"]
    (project / "d").mkdir()
    for name in names:
        Path(os.fsdecode(b"d/" + name)).touch()
    assert _upload(coordinator, "--path", "d") == 0
    coordinator.content = coordinator.uploads[0][1]
    target = tmp_path / "target"
    target.mkdir()
    monkeypatch.chdir(target)
    assert _download(coordinator) == 0
    assert sorted(os.fsencode(path.name) for path in Path("d").iterdir()) == sorted(names)


def _zip_link(name: str, target: str, *more: tuple[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, target)
        for path, content in more:
            archive.writestr(path, content)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["../escaped", "/tmp/podlane-escaped", "a/../../escaped"])
def test_a_name_that_leaves_the_directory_is_refused_before_anything_is_written(
    project: Path, coordinator: Coordinator, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("innocent", "x")
        archive.writestr(name, "x")
    coordinator.content = buffer.getvalue()
    assert _download(coordinator) == 1
    assert "refused" in capsys.readouterr().err
    assert list(project.iterdir()) == []
    assert not (project.parent / "escaped").exists()
    assert not Path("/tmp/podlane-escaped").exists()


def test_nothing_is_written_through_a_link_that_leaves_the_directory(
    project: Path, coordinator: Coordinator, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    coordinator.content = _zip_link("way", str(outside), ("way/file", "x"))
    assert _download(coordinator) in {0, 1}
    assert list(outside.iterdir()) == []
    (project / "there").symlink_to(outside)
    coordinator.content = _zip(there__file="x")
    assert _download(coordinator) == 1
    assert list(outside.iterdir()) == []


def test_a_link_that_was_there_before_is_replaced_not_followed(
    project: Path, coordinator: Coordinator, tmp_path: Path
) -> None:
    (tmp_path / "victim").write_text("untouched")
    (project / "a").symlink_to(tmp_path / "victim")
    coordinator.content = _zip(a="new")
    assert _download(coordinator) == 0
    assert (project / "a").read_text() == "new"
    assert (tmp_path / "victim").read_text() == "untouched"


def test_a_link_to_an_absolute_place_survives_as_a_link(
    project: Path, coordinator: Coordinator
) -> None:
    coordinator.content = _zip_link("venv/bin/python", "/usr/bin/python3")
    assert _download(coordinator) == 0
    assert (project / "venv/bin/python").readlink() == Path("/usr/bin/python3")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"\x28\xb5\x2f\xfd", b"\x1f\x8b"])
def test_what_is_no_zip_is_refused_with_a_sentence(
    project: Path, coordinator: Coordinator, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    coordinator.content = content
    assert _download(coordinator) == 1
    assert "FATAL: " in capsys.readouterr().err


def test_missing_settings_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["artifacts-uploader", "--url", "http://x"], {}) == 1
    assert "--token" in capsys.readouterr().err
    assert main(["artifacts-downloader", "--url", "ftp://u:p@x", "--token", "t", "--id", "1"]) == 1
    assert "u:p" not in capsys.readouterr().err


def test_settings_come_from_the_environment_too(project: Path, coordinator: Coordinator) -> None:
    (project / "a").touch()
    environ = {"CI_SERVER_URL": coordinator.url, "CI_JOB_TOKEN": TOKEN, "CI_JOB_ID": "9"}
    assert main(["artifacts-uploader", "--path", "a"], environ) == 0
    assert coordinator.requests[0][1].startswith("/api/v4/jobs/9/artifacts")


def test_a_transfer_has_a_limit_of_time_when_nobody_listens(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "a").touch()
    nobody = Coordinator(url="http://127.0.0.1:9")
    assert _download(nobody, "--timeout", "1ns") == 1
    assert _upload(nobody, "--path", "a", "--timeout", "1ns") == 1
    lines = capsys.readouterr().err.splitlines()
    ends = [line for line in lines if "FATAL" in line]
    assert ["the time limit is over, the last error: Connection refused" in e for e in ends] == [
        True, True,
    ]  # fmt: skip
