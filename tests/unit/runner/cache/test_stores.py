"""Presigned URLs: signatures that the other side would compute, and nothing secret elsewhere."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.fakes.jobs import a_job

from podlane.gitlab import cache_urls
from podlane.runner.cache import opening, roles, s3
from podlane.runner.cache.settings import (
    AzureSettings,
    CacheSettings,
    CoordinatorCacheSettings,
    GcsSettings,
    S3Settings,
    StorageSettings,
)
from podlane.runner.cache.store import CacheStore, CacheUrlError, Method, secrets_of

NOW = datetime(2026, 11, 24, 8, 9, 10, tzinfo=UTC)


def store(storage: StorageSettings) -> CacheStore:
    settings = CacheSettings(storage=storage)
    place = opening.place_of(
        settings, a_job("x"), server_url="http://s", short_token="t", project_path="p"
    )
    assert place.store is not None
    return place.store


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("encryption", ["", "S3", "KMS"])
def test_s3_signatures_are_those_of_the_reference(
    method: Method, encryption: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = S3Settings(
        bucket="bucket", access_key="AKID", secret_key="secret", session_token="a/b+c=",
        server_address="127.0.0.1:9000", insecure=True, encryption=encryption,
        encryption_key_id="key-1",
    )  # fmt: skip
    ours = s3.S3Store(settings=settings, now=lambda: NOW, expires_seconds=3600)
    signed = ours.sign(method, "runner/t/project/1/a b/ü%2f~", key="a b" if encryption else "ü")
    assert ("x-amz-meta-cachekey" in signed.headers) == (method is Method.PUT and encryption != "")
    request = AWSRequest(
        method=method.value, url=signed.url.partition("?")[0], headers=dict(signed.headers)
    )
    monkeypatch.setattr(auth, "get_current_datetime", lambda: NOW)
    credentials = Credentials("AKID", "secret", "a/b+c=")
    auth.S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=3600).add_auth(request)
    assert parse_qs(urlsplit(signed.url).query) == parse_qs(urlsplit(request.url).query)


def test_requests_for_a_role_are_signed_as_the_reference_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = S3Settings(bucket="b", access_key="AKID", secret_key="secret", session_token="t+k")
    ours = roles._signed_headers(settings, "sts.us-east-1.amazonaws.com", "Action=AssumeRole", NOW)
    request = AWSRequest(
        method="POST", url="https://sts.us-east-1.amazonaws.com/", data="Action=AssumeRole",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    monkeypatch.setattr(auth, "get_current_datetime", lambda: NOW)
    auth.SigV4Auth(Credentials("AKID", "secret", "t+k"), "sts", "us-east-1").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


def test_a_role_is_limited_to_the_projects_caches_and_one_purpose() -> None:
    settings = S3Settings(bucket="b", encryption_key_id="arn:aws:kms:key")
    policy = json.loads(roles._policy(settings, "arn:aws-cn:iam::1:role/x", "p/1", uploads=True))
    assert policy["Statement"][0] == {
        "Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "arn:aws-cn:s3:::b/p/1/*",
    }  # fmt: skip
    assert policy["Statement"][1]["Resource"] == "arn:aws:kms:key"
    assert roles._endpoint(settings) == (False, "sts.us-east-1.amazonaws.com")


def test_encryption_is_asked_for_with_uploads_only() -> None:
    settings = S3Settings(
        bucket="b", access_key="A", secret_key="S", encryption="KMS", encryption_key_id="arn:x"
    )
    ours = store(settings)
    assert dict(ours.sign(Method.GET, "x").headers) == {}
    assert dict(ours.sign(Method.PUT, "x").headers) == {
        "X-Amz-Server-Side-Encryption": "aws:kms",
        "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "arn:x",
    }


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (S3Settings(bucket="b", region="eu-west-1"), "https://b.s3.dualstack.eu-west-1.amazonaws.com"),
        (S3Settings(bucket="b", dual_stack=False), "https://b.s3.us-east-1.amazonaws.com"),
        (S3Settings(bucket="b.c", server_address="s3.amazonaws.com", dual_stack=False),
         "https://s3.us-east-1.amazonaws.com/b.c"),
        (S3Settings(bucket="b", path_style=True, dual_stack=False),
         "https://s3.us-east-1.amazonaws.com/b"),
        (S3Settings(bucket="b", accelerate=True), "https://b.s3-accelerate.dualstack.amazonaws.com"),
        (S3Settings(bucket="b", server_address="minio:9000", insecure=True), "http://minio:9000/b"),
        (S3Settings(bucket="b", server_address="https://minio:9000"), "https://minio:9000/b"),
        (S3Settings(bucket="b", server_address="minio", path_style=False), "https://b.minio"),
    ],
)  # fmt: skip
def test_buckets_are_found_where_the_settings_say(settings: S3Settings, address: str) -> None:
    place = s3.endpoint_of(settings)
    assert f"{place.scheme}://{place.host}{place.path}" == address


def test_the_coordinator_recognizes_what_a_job_signed() -> None:
    ours = store(CoordinatorCacheSettings())
    job = a_job("x")
    url = urlsplit(ours.sign(Method.PUT, "project/1/a b").url)
    signature = parse_qs(url.query)[cache_urls.SIGNATURE][0]
    assert url.path == f"/podlane/v1/jobs/{job.id}/cache/project/1/a%20b"
    assert cache_urls.is_signed(job.id, job.token, "write", "project/1/a b", signature)
    assert not cache_urls.is_signed(job.id, job.token, "read", "project/1/a b", signature)
    assert not cache_urls.is_signed(job.id + 1, job.token, "write", "project/1/a b", signature)
    assert job.token not in url.geturl()
    assert secrets_of(url.geturl()) == (signature,)


def test_azure_gives_a_signature_that_reads_or_writes() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    ours = store(AzureSettings(container="c", account_name="acc", account_key=key))
    put = ours.sign(Method.PUT, "a/b")
    assert put.url.startswith("https://acc.blob.core.windows.net/c/a/b?")
    assert dict(put.headers) == {"x-ms-blob-type": "BlockBlob"}
    assert "sp=w" in put.url
    assert "sp=r" in ours.sign(Method.HEAD, "a/b").url
    assert key not in put.url


def test_unusable_credentials_are_told_when_a_url_is_needed() -> None:
    ours = store(GcsSettings(bucket="b", access_id="x@y", private_key="not a key"))
    with pytest.raises(CacheUrlError, match=r"check PrivateKey or CredentialsFile|gives no cred"):
        ours.sign(Method.GET, "a")


def test_every_kind_of_signature_is_kept_from_the_trace() -> None:
    url = "https://x/y?X-Goog-Signature=aa&sig=b%2Bb&X-Amz-Security-Token=cc&X-Amz-Date=d"
    assert secrets_of(url) == ("aa", "b%2Bb", "cc")


def test_the_library_of_the_clouds_is_loaded_by_those_who_configured_one() -> None:
    code = "import sys, podlane.runner.app, podlane.cli.run.local; exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
