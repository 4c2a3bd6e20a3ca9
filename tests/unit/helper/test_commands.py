"""The small commands."""

from __future__ import annotations

import io
import shutil
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from podlane.helper import health_check, read_logs, transport
from podlane.helper.main import COMMANDS, main
from podlane.helper.meter import Meter, amount
from tests.unit.helper.conftest import Coordinator, Handler, serving


def test_version_help_and_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert main([]) == 0
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        assert name in capsys.readouterr().out
    assert main(["nonsense"]) == 1
    assert "unknown command" in capsys.readouterr().err


def test_the_module_runs_isolated_without_site_packages() -> None:
    package = Path(read_logs.__file__).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(package)!r}); from podlane.helper.main import main; "
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code + "main(['--version'])"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.startswith("gitlab-runner-helper")


def test_cache_init_opens_directories(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert main(["cache-init", str(tmp_path)]) == 0
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o777
    assert main(["cache-init"]) == 1
    assert main(["cache-init", str(tmp_path / "missing")]) == 1


def test_health_check_connects_to_all_ports_or_to_any_service() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        port = server.getsockname()[1]
        closed.bind(("127.0.0.1", 0))
        shut = closed.getsockname()[1]
        assert main(["health-check", "--port", str(port)]) == 0
        assert main(["health-check", "-p", str(port), "-p", str(shut), "--timeout", "0"]) == 1
        both = [("127.0.0.1", port), ("127.0.0.1", shut)]
        assert health_check.wait_for(both, need_all=False, deadline=0) == 0


def test_health_check_reads_services_from_the_environment() -> None:
    environ = {"A_TCP_ADDR": "db", "A_TCP_PORT": "5432", "B_TCP_ADDR": "lonely"}
    assert health_check.addresses(environ) == [("db", 5432)]


class _StopError(Exception):
    pass


def test_read_logs_prints_offsets_and_ends_when_the_file_goes(tmp_path: Path) -> None:
    log, out = tmp_path / "log", io.BytesIO()
    log.write_bytes(b"one\ntwo\nthr")
    more = [b"one\ntwo\nthree\n" + b"x" * 20_000 + b"\n"]

    def pause(_: float) -> None:
        if more:
            log.write_bytes(more.pop())
        else:
            log.unlink()

    code = read_logs.follow(log, 4, 0, out, pause)
    assert code == 100
    long = b"x" * 16_384
    rest = b"x" * (20_000 - 16_384)
    assert out.getvalue().splitlines() == [
        b"8 two", b"11 thr", b"14 ee", b"%d %s" % (14 + 16_384, long), b"20015 " + rest,
    ]  # fmt: skip


def test_read_logs_waits_for_the_file_and_gives_up_with_100(tmp_path: Path) -> None:
    log = tmp_path / "late"
    assert read_logs.follow(log, 0, 0, io.BytesIO()) == 100

    def pause(_: float) -> None:
        if log.exists():
            raise _StopError
        log.write_bytes(b"x\n")

    out = io.BytesIO()
    with pytest.raises(_StopError):
        read_logs.follow(log, 0, 60, out, pause)
    assert out.getvalue() == b"2 x\n"


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("https://gitlab.example/a", True),
        ("https://gitlab.example:443/a", True),
        ("http://gitlab.example/a", False),
        ("https://gitlab.example:8443/a", False),
        ("https://gitlab.example.evil.org/a", False),
        ("https://evil@gitlab.example/", True),
        ("https://gitlab.example@evil.org/", False),
    ],
)
def test_the_token_stays_with_the_coordinator(url: str, trusted: bool) -> None:
    server = transport.Server(url="https://gitlab.example", token="t", job_id="1")
    assert ("JOB-TOKEN" in server.headers(url)) is trusted
    assert "token" not in repr(server)


def test_proxies_are_found_by_the_usual_variables() -> None:
    environ = {"https_proxy": "http://p:3128", "NO_PROXY": "internal,.corp.example"}
    find = transport.find_proxy
    found = find(urlsplit("https://gitlab.example/"), environ)
    assert found is not None
    assert found.hostname == "p"
    for url in (
        "http://gitlab.example",
        "https://internal",
        "https://a.corp.example",
        "https://127.0.0.1",
    ):
        assert find(urlsplit(url), environ) is None


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A server with a certificate that nobody knows: its address, and the certificate's file."""
    certificate, key = str(tmp_path / "c.pem"), str(tmp_path / "k.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=x",
         "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context) as coordinator:
        yield coordinator.url.replace("http:", "https:"), certificate


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_an_unknown_certificate_is_refused_at_once_and_a_named_authority_is_accepted(
    tls: tuple[str, str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, certificate = tls
    (project / "a").touch()
    argv = ["artifacts-uploader", "--url", url, "--token", "t", "--id", "1", "--path", "a"]
    assert main(argv) == 1
    lines = capsys.readouterr().err
    assert "the certificate of 127.0.0.1 is not trusted" in lines
    assert "Retrying" not in lines
    assert main(argv, {"CI_SERVER_TLS_CA_FILE": certificate}) == 0


def test_the_version_is_compared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podlane.helper.verify_version.version", lambda: "1.2.3")
    assert main(["verify-version", "--expected", "1.2.3"]) == 0
    assert main(["verify-version", "--expected", "1.2"]) == 1
    assert 'helper version "1.2.3" does not match runner version "1.2"' in capsys.readouterr().err
    assert main(["verify-version"]) == 1


def test_a_probe_wants_any_answer_and_follows_no_redirect(
    coordinator: Coordinator, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(handler: Handler) -> bool:
        handler.answer(302, Location="http://127.0.0.1:1/")
        return True

    coordinator.script = [away]
    assert main(["probe-url", "--url", f"{coordinator.url}/x?secret=1"]) == 0
    shown = capsys.readouterr().out
    assert shown == f"received HTTP 302: {coordinator.url}/x is reachable\n"
    assert "JOB-TOKEN" not in coordinator.requests[0][2]
    assert main(["probe-url", "--url", "http://127.0.0.1:9"]) == 1
    assert "probing http://127.0.0.1:9: Connection refused" in capsys.readouterr().err
    assert main(["probe-url"]) == 1


def test_a_probe_trusts_the_given_authority_alone(
    tls: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, certificate = tls
    assert main(["probe-url", "--url", url]) == 1
    assert "is not trusted" in capsys.readouterr().err
    assert main(["probe-url", "--url", url, "--ca-file", certificate]) == 0
    assert main(["probe-url", "--url", url, "--insecure"]) == 0
    assert main(["probe-url", "--url", url, "--ca-file", str(tmp_path / "none")]) == 1
    assert "no CA certificates found" in capsys.readouterr().err


def test_the_meter_shows_amounts_and_rates_at_most_once_a_second(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([0.0, 0.5, 2.0, 2.0, 4.0])
    meter = Meter("Uploading cache", 0.1, total=4_000_000, now=lambda: next(times))
    meter.add(1_000)
    meter.add(1_999_000)
    meter.done()
    assert capsys.readouterr().out == (
        f"\rUploading cache 2.00 MB/4.00 MB (1.0 MB/s){' ' * 16}"
        f"\rUploading cache 2.00 MB/4.00 MB (500.0 KB/s){' ' * 16}\n"
    )
    silent = Meter("Uploading cache", 0.0)
    silent.add(10)
    silent.done()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1_250_000, "1.25 MB")])
def test_amounts_have_decimal_prefixes(count: int, text: str) -> None:
    assert amount(count) == text
