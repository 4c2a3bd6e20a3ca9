"""Caches travel to a storage and back by presigned URLs, or stay in a local file."""

from __future__ import annotations

import email.utils
import http.server
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from podlane.helper import cache_extractor
from podlane.helper.main import main

Trouble = Callable[["Handler"], bool]
OLD, NEW = 1_600_000_000, 1_700_000_000
SECRET = "X-Amz-Signature=0123456789abcdef"


@dataclass
class Storage:
    """Objects by path, with when they were written; ``troubles`` are consumed, one per request."""

    url: str = ""
    objects: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    heads: list[list[tuple[str, str]]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def at(self, name: str) -> str:
        return f"{self.url}/{name}?{SECRET}"

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.requests]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    storage: Storage

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", modified: int = 0) -> None:
        self.close_connection = True
        self.send_response(status)
        if modified:
            self.send_header("Last-Modified", email.utils.formatdate(modified, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _trouble(self) -> bool:
        self.storage.requests.append((self.command, self.path, dict(self.headers.items())))
        self.storage.heads.append(self.headers.items())
        return bool(self.storage.troubles) and self.storage.troubles.pop(0)(self)

    def do_GET(self) -> None:
        if self._trouble():
            return
        found = self.storage.objects.get(self.path.partition("?")[0].lstrip("/"))
        if found is None:
            self.answer(404)
        else:
            self.answer(200, *found)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self._trouble():
            return
        self.storage.objects[self.path.partition("?")[0].lstrip("/")] = (data, NEW)
        self.answer(200)


@pytest.fixture
def storage() -> Iterator[Storage]:
    made = Storage()
    handler = type("Bound", (Handler,), {"storage": made})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def vendor(project: Path) -> Path:
    (project / "vendor").mkdir()
    (project / "vendor/lib.txt").write_text("library")
    return project / "vendor"


def _archive(*args: str) -> int:
    return main(["cache-archiver", "--file", "../cache/k/cache.zip", "--retry-time", "0", *args])


def _extract(*args: str) -> int:
    return main(["cache-extractor", "--file", "../cache/k/cache.zip", "--retry-time", "0", *args])


def _elsewhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to another pod, which has no local cache."""
    other = project.parent / "pod/project"
    other.mkdir(parents=True)
    monkeypatch.chdir(other)
    return other


def test_a_cache_survives_in_a_storage(
    vendor: Path, storage: Storage, project: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("CACHE_METADATA", '{"cachekey": "k"}')
    url = storage.at("project/1/k")
    header = "X-Amz-Server-Side-Encryption: AES256"
    assert _archive("--path", "vendor", "--url", url, "--header", header) == 0
    _, _, headers = storage.requests[0]
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Amz-Server-Side-Encryption"] == "AES256"
    assert "Last-Modified" in headers
    metadata = json.loads((project.parent / "cache/k/metadata.json").read_text())
    assert metadata == {"cachekey": "k"}
    other = _elsewhere(project, monkeypatch)
    assert _extract("--url", url) == 0
    assert (other / "vendor/lib.txt").read_text() == "library"
    lines = capsys.readouterr().err
    assert f"Uploading cache.zip to {storage.url}/project/1/k\n" in lines
    assert f"Downloading cache.zip from {storage.url}/project/1/k\n" in lines
    assert SECRET not in lines


def test_the_address_of_a_storage_is_not_shown_where_it_shall_not_be(
    vendor: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    url = storage.at("project/1/k")
    assert _archive("--path", "vendor", "--url", url, "--redact-url") == 0
    assert _extract("--url", url, "--redact-url") == 0
    lines = capsys.readouterr().err
    assert "Uploading cache.zip to remote storage\n" in lines
    assert "Downloading cache.zip from remote storage\n" in lines
    assert storage.url not in lines


def test_without_a_url_the_local_file_is_used(
    vendor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _archive("--path", "vendor") == 0
    (vendor / "lib.txt").unlink()
    assert _extract() == 0
    assert (vendor / "lib.txt").read_text() == "library"
    lines = capsys.readouterr().err
    assert "No URL provided, cache will not be uploaded to shared cache server." in lines
    assert (
        "No URL provided, cache will not be downloaded from shared cache server. "
        "Instead a local version of cache will be extracted." in lines
    )


def test_a_cache_that_is_not_there_is_said(
    project: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _extract("--url", storage.at("k")) == 1
    assert _extract() == 1
    assert capsys.readouterr().err.count("WARNING: Cache file does not exist") == 2


def test_nothing_to_cache_makes_no_archive(
    project: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _archive("--path", "vendor", "--url", storage.at("k")) == 0
    assert "No files to cache." in capsys.readouterr().err
    assert storage.requests == []
    assert not (project.parent / "cache").exists()


def test_an_archive_that_is_up_to_date_is_uploaded_only_where_it_is_missing(
    vendor: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    os.utime(vendor / "lib.txt", (OLD, OLD))
    urls = ["--url", storage.at("k"), "--check-url", storage.at("k")]
    for _ in range(3):
        assert _archive("--path", "vendor/*", *urls) == 0
    assert storage.methods == ["PUT", "HEAD", "HEAD"]
    storage.objects.clear()
    assert _archive("--path", "vendor/*", *urls) == 0
    assert storage.methods[3:] == ["HEAD", "PUT"]
    assert capsys.readouterr().err.count("Archive is up to date!") == 3
    (vendor / "lib.txt").write_text("changed")
    os.utime(vendor / "lib.txt", (2**31, 2**31))
    assert _archive("--path", "vendor/*", *urls) == 0
    assert storage.methods[-1] == "PUT"


def test_a_change_right_after_unpacking_is_saved_whatever_the_clocks_say(
    vendor: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = ["--url", storage.at("k"), "--check-url", storage.at("k")]
    assert _archive("--path", "vendor", *urls) == 0
    (vendor.parent.parent / "cache/k/cache.zip").unlink()
    content, _ = storage.objects["k"]
    storage.objects["k"] = (content, 2**31)  # by a clock that is far ahead
    assert _extract("--url", storage.at("k")) == 0
    assert _archive("--path", "vendor", *urls) == 0
    assert storage.methods == ["PUT", "GET", "HEAD"]
    (vendor / "lib.txt").write_text("changed")
    os.utime(vendor / "lib.txt", (OLD, OLD))
    assert _archive("--path", "vendor", *urls) == 0
    assert storage.methods[3:] == ["PUT"]
    assert capsys.readouterr().err.count("Archive is up to date!") == 1


def test_an_archive_without_a_file_that_is_wanted_is_made_anew(vendor: Path) -> None:
    assert _archive("--path", "vendor/*") == 0
    (vendor / "more.txt").write_text("x")
    os.utime(vendor / "more.txt", (OLD, OLD))
    assert _archive("--path", "vendor/*") == 0
    with zipfile.ZipFile(vendor.parent.parent / "cache/k/cache.zip") as packed:
        assert packed.namelist() == ["vendor/lib.txt", "vendor/more.txt"]


def test_a_local_archive_that_is_as_new_is_not_fetched_again(
    vendor: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _archive("--path", "vendor") == 0
    storage.objects["k"] = (b"not even a zip", OLD)
    assert _extract("--url", storage.at("k")) == 0
    assert "cache.zip is up to date" in capsys.readouterr().err


def test_the_newer_of_the_two_names_of_a_key_is_taken(
    vendor: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    assert _archive("--path", "vendor", "--url", storage.at("plain")) == 0
    storage.objects["hashed"] = (b"", OLD)
    hashed, plain = storage.at("hashed"), storage.at("plain")
    both = ["--url", hashed, "--head-url", hashed]
    both += ["--alternate-url", plain, "--alternate-head-url", plain]
    other = _elsewhere(project, monkeypatch)
    assert _extract(*both) == 0
    assert (other / "vendor/lib.txt").exists()
    assert storage.methods[1:] == ["HEAD", "HEAD", "GET"]


def test_a_storage_that_stumbles_is_asked_again(
    vendor: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    def unavailable(handler: Handler) -> bool:
        handler.answer(503)
        return True

    def breaks_off(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"PK")
        handler.close_connection = True
        return True

    storage.troubles = [unavailable]
    assert _archive("--path", "vendor", "--url", storage.at("k")) == 0
    other = _elsewhere(project, monkeypatch)
    storage.troubles = [breaks_off]
    assert _extract("--url", storage.at("k")) == 0
    assert (other / "vendor/lib.txt").exists()
    assert storage.methods == ["PUT", "PUT", "GET", "GET"]


def test_a_download_that_broke_off_is_continued(
    vendor: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    assert _archive("--path", "vendor", "--url", storage.at("k")) == 0
    content, _ = storage.objects["k"]

    def part(handler: Handler, start: int, end: int, *headers: str) -> bool:
        handler.send_response(206 if start else 200)
        for header in (*headers, 'ETag: "v1"', f"Content-Length: {len(content) - start}"):
            handler.send_header(*header.split(": ", 1))
        handler.end_headers()
        handler.wfile.write(content[start:end])
        handler.close_connection = True
        return True

    total = len(content)
    storage.troubles = [
        lambda handler: part(handler, 0, 50),
        lambda handler: part(handler, 50, total, f"Content-Range: bytes 50-{total - 1}/{total}"),
    ]
    other = _elsewhere(project, monkeypatch)
    assert _extract("--url", storage.at("k")) == 0
    assert (other / "vendor/lib.txt").read_text() == "library"
    sent = storage.requests[-1][2]
    assert (sent["Range"], sent["If-Range"]) == ("bytes=50-", '"v1"')


def _ranged(content: bytes, etag: str) -> Trouble:
    def answer(handler: Handler) -> bool:
        asked = handler.headers["Range"]
        if asked is None or handler.headers.get("If-Range", etag) != etag:
            handler.answer(200, content, NEW)
            return True
        start, end = map(int, asked.removeprefix("bytes=").split("-"))
        end = min(end, len(content) - 1)
        handler.send_response(206)
        handler.send_header("ETag", etag)
        handler.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        handler.send_header("Content-Length", str(end + 1 - start))
        handler.end_headers()
        handler.wfile.write(content[start : end + 1])
        handler.close_connection = True
        return True

    return answer


@pytest.mark.parametrize("etags", [['"a"'] * 40, ['"a"', '"a"', *['"b"'] * 40], [""] * 40])
def test_a_large_cache_is_fetched_in_parts_at_once_where_asked(
    vendor: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch, project: Path, etags: list[str]
) -> None:
    content = os.urandom(500_000)
    (vendor / "large").write_bytes(content)
    assert _archive("--path", "vendor", "--url", storage.at("k")) == 0
    archive = storage.objects["k"][0]
    storage.requests.clear()
    other = _elsewhere(project, monkeypatch)
    monkeypatch.setenv("FF_USE_PARALLEL_CACHE_TRANSFER", "true")
    storage.troubles = [_ranged(archive, etag) for etag in etags]
    flags = ["--chunk-size", "65536", "--concurrency", "4"]
    assert _extract("--url", storage.at("k"), *flags) == 0
    assert (other / "vendor/large").read_bytes() == content
    if etags[-1] == '"a"':
        assert len(storage.requests) == len(archive) // 65536 + 1


def test_a_refusal_is_told_in_the_words_of_the_storage_and_not_repeated(
    vendor: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses(handler: Handler) -> bool:
        handler.answer(403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>")
        return True

    storage.troubles = [refuses]
    assert _archive("--path", "vendor", "--url", storage.at("k")) == 1
    lines = capsys.readouterr().err
    assert "the storage answered 403 Forbidden (RequestTimeTooSkewed)" in lines
    assert SECRET not in lines
    assert storage.methods == ["PUT"]


def test_a_large_archive_is_not_uploaded(
    vendor: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = ["--max-uploaded-archive-size", "10"]
    assert _archive("--path", "vendor", "--url", storage.at("k"), *limit) == 0
    assert "it is not uploaded" in capsys.readouterr().err
    assert storage.requests == []


@pytest.mark.parametrize("kind", ["zip", "tarzstd", "zipzstd"])
def test_every_format_is_told_by_its_content(kind: str, vendor: Path) -> None:
    (vendor / "large").write_bytes(os.urandom(3_000_000) + b"x" * 3_000_000)
    content = (vendor / "large").read_bytes()
    assert _archive("--path", "vendor", "--compression-format", kind) == 0
    (vendor / "large").unlink()
    assert _extract() == 0
    assert (vendor / "large").read_bytes() == content


def test_an_archive_that_climbs_is_refused(
    project: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(project / "evil.zip", "w") as archive:
        archive.writestr("../evil", "x")
    storage.objects["k"] = ((project / "evil.zip").read_bytes(), NEW)
    assert _extract("--url", storage.at("k")) == 1
    assert "unpacking the cache was refused" in capsys.readouterr().err
    assert not (project.parent / "evil").exists()


def test_where_the_cache_directory_cannot_be_made_a_temporary_file_will_do(
    vendor: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    place = "/proc/nowhere/cache.zip"
    url = storage.at("k")
    assert main(["cache-archiver", "--file", place, "--url", url, "--path", "vendor"]) == 0
    assert main(["cache-extractor", "--file", place, "--url", url]) == 0
    assert main(["cache-archiver", "--file", place, "--path", "vendor"]) == 1
    assert "set cache_dir of the runner" in capsys.readouterr().err


def test_the_newer_of_two_local_archives_is_taken(vendor: Path, project: Path) -> None:
    assert _archive("--path", "vendor") == 0
    (project.parent / "cache/other").mkdir()
    other = project.parent / "cache/other/cache.zip"
    other.write_bytes((project.parent / "cache/k/cache.zip").read_bytes())
    os.utime(project.parent / "cache/k/cache.zip", (OLD, OLD))
    assert cache_extractor._newest("../cache/k/cache.zip", "../cache/other/cache.zip") == (
        "../cache/other/cache.zip"
    )


def test_headers_of_a_signature_are_sent_once(vendor: Path, storage: Storage) -> None:
    """GitLab's runner says those of an S3 signature: the host, and the metadata in lower case."""
    given = ("Host: bucket.example", "x-amz-meta-cachekey: k", "content-type: a/b",
             "Content-Length: 7")  # fmt: skip
    flags = [word for text in given for word in ("--header", text)]
    assert _archive("--path", "vendor", "--url", storage.at("project/1/k"), *flags) == 0
    sent = [(name.lower(), value) for name, value in storage.heads[0]]
    assert sent.count(("host", storage.url.removeprefix("http://"))) == 1
    assert ("host", "bucket.example") not in sent
    assert [value for name, value in sent if name == "content-type"] == ["a/b"]
    assert [value for name, value in sent if name == "x-amz-meta-cachekey"] == ["k"]
    assert len([value for name, value in sent if name == "content-length"]) == 1


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["cache-archiver", "--path", "*"], "Missing cache file"),
        (["cache-extractor"], "Missing cache file"),
        (["cache-archiver", "--compression-format", "rar"], 'the cache format "rar" is not known'),
        (["cache-archiver", "--file", "../x/c.zip", "--path", "*", "--metadata", "[]"],
         "--metadata must be a JSON object"),
        (["cache-extractor", "--file", "x", "--gocloud-url", "s3://b/k"], "presigned URLs only"),
        (["cache-archiver", "--file", "x", "--env-file", "missing"], "cannot be read"),
        (["cache-archiver", "--file", "../x/c.zip", "--url", "http://127.0.0.1:1", "--path", "*",
          "--header", "nothing"], "--header must be Name: value"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_sentence(
    args: list[str], sentence: str, vendor: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 1
    assert sentence in capsys.readouterr().err
