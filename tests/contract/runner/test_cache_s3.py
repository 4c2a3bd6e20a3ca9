"""Caches in S3: URLs that we sign, commands of the helper, and a server that others wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from podlane.runner.cache.opening import open_store
from podlane.runner.cache.settings import CacheSettings, S3Settings
from podlane.runner.cache.store import CacheStore, CacheUrlError, Method
from tests.fakes.jobs import a_job
from tests.fakes.s3_server import BUCKET, running_s3


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_s3() as address:
        yield address


def settings(server: str, **fields: object) -> S3Settings:
    return S3Settings(
        bucket=BUCKET, server_address=server, insecure=True, access_key="AKID",
        secret_key="secret", **fields,  # type: ignore[arg-type] # a test's shorthand
    )  # fmt: skip


def store(storage: S3Settings) -> CacheStore:
    made = open_store(CacheSettings(storage=storage), a_job("x"), server_url="", prefix="roles")
    assert made is not None
    return made


def helper(directory: Path, *args: str) -> subprocess.CompletedProcess[str]:
    directory.mkdir(exist_ok=True)
    command = [sys.executable, "-c", "from podlane.helper.main import main; exit(main())", *args]
    environment = os.environ | {"no_proxy": "*"}
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=60, env=environment
    )


def push(pod: Path, store: CacheStore, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    put = store.sign(Method.PUT, name, key="the key")
    headers = [word for pair in put.headers.items() for word in ("--header", ": ".join(pair))]
    check = ["--check-url", store.sign(Method.HEAD, name).url]
    flags = ["--file", "../c/cache.zip", "--path", "data", "--url", put.url, *check]
    return helper(pod, "cache-archiver", *flags, *headers, *more)


def pull(pod: Path, store: CacheStore, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    flags = ["--file", f"../{pod.name}.zip/cache.zip", "--url", store.sign(Method.GET, name).url]
    return helper(pod, "cache-extractor", *flags, *more)


@pytest.mark.parametrize("encryption", ["", "S3", "KMS"])
def test_a_cache_goes_there_and_back(server: str, encryption: str, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod/data").write_bytes(content)
    ours = store(settings(server, encryption=encryption, encryption_key_id="key"))
    name = f"runner/abcdefghi/project/1/main/ü {encryption}"
    done = push(tmp_path / "pod", ours, name)
    assert done.returncode == 0, done.stderr
    done = pull(tmp_path / "next", ours, name)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "next/data").read_bytes() == content
    done = pull(tmp_path / "parts", ours, name, "--parallel", "--chunk-size", "100000")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "parts/data").read_bytes() == content
    url = ours.sign(Method.HEAD, name).url
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
        assert answer.headers["x-amz-meta-cachekey"] == "the key"
    if encryption:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
            wanted = {"S3": "AES256", "KMS": "aws:kms"}[encryption]
            assert answer.headers["x-amz-server-side-encryption"] == wanted


def test_a_cache_that_is_not_there_is_a_failure_without_an_error(
    server: str, tmp_path: Path
) -> None:
    done = pull(tmp_path / "pod", store(settings(server)), "nothing")
    assert done.returncode == 1
    assert "Cache file does not exist" in done.stderr


def test_a_missing_bucket_is_said(server: str, tmp_path: Path) -> None:
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod/data").write_text("x")
    wrong = S3Settings(
        bucket="nowhere", server_address=server, insecure=True, access_key="A", secret_key="S"
    )
    done = push(tmp_path / "pod", store(wrong), "k", "--retry", "0")
    assert done.returncode == 1
    assert "is the bucket there?" in done.stderr


def test_an_identity_of_the_environment_signs_through_the_library(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod/data").write_text("by identity")
    ours = store(S3Settings(bucket=BUCKET, server_address=server, insecure=True))
    done = push(tmp_path / "pod", ours, "identity/k")
    assert done.returncode == 0, done.stderr
    done = pull(tmp_path / "next", ours, "identity/k")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "next/data").read_text() == "by identity"


def test_roles_get_credentials_of_their_own_and_only_for_their_purpose(
    server: str, tmp_path: Path
) -> None:
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod/data").write_text("by role")
    role = "arn:aws:iam::123456789012:role/caches"
    ours = store(settings(server, role=role, upload_role=f"{role}-writer"))
    done = push(tmp_path / "pod", ours, "roles/k")
    assert done.returncode == 0, done.stderr
    done = pull(tmp_path / "next", ours, "roles/k")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "next/data").read_text() == "by role"
    get, put = (ours.sign(method, "roles/k").url for method in (Method.GET, Method.PUT))
    tokens = {url.partition("X-Amz-Security-Token=")[2].partition("&")[0] for url in (get, put)}
    assert len(tokens) == 2
    assert "" not in tokens
    assert "X-Amz-Credential=AKID" not in get + put


def test_a_server_that_is_away_gives_no_role(tmp_path: Path) -> None:
    away = store(settings("127.0.0.1:1", role="arn:aws:iam::1:role/x"))
    with pytest.raises(CacheUrlError, match="the role arn:aws:iam::1:role/x cannot be assumed"):
        away.sign(Method.GET, "k")
