"""``podlane includes``: fetched once, locked, vendored; offline ever after. Against a stub server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from podlane.cli.main import main
from podlane.cli.project.fetch import GitLabFetcher, find_token
from podlane.cli.project.includestore import IncludeStore
from podlane.compiler.context import FetchError, RemoteFile


@dataclass
class Stub:
    """A server that answers from a table and remembers what it was asked."""

    url: str = ""
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def stub() -> Iterator[Stub]:
    state = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers.get("Private-Token")))
            code, body = state.answers.get(self.path, (404, "{}"))
            self.send_response(code)
            if code == 302:
                self.send_header("Location", body)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


SHA = "c" * 40
PROJECT = "/api/v4/projects/g%2Fp"


def job(name: str) -> str:
    return f"{name}:\n  script: echo\n"


@pytest.fixture
def served(stub: Stub) -> Stub:
    host = stub.url.removeprefix("http://")
    stub.answers = {
        "/remote.yml": (200, job("remote")),
        f"{PROJECT}/repository/commits/v1": (200, json.dumps({"id": SHA})),
        f"{PROJECT}/repository/files/ci%2Fa.yml/raw?ref={SHA}": (
            200,
            "include: ci/b.yml\n" + job("a"),
        ),
        f"{PROJECT}/repository/files/ci%2Fb.yml/raw?ref={SHA}": (200, job("b")),
        "/api/v4/templates/gitlab_ci_ymls/Bash": (200, json.dumps({"content": job("template")})),
        f"{PROJECT}/releases?per_page=100": (
            200,
            json.dumps([{"tag_name": t} for t in ("1.0.0", "1.2.0", "1.10.1", "2.0.0", "beta")]),
        ),
        f"{PROJECT}/repository/commits/1.10.1": (200, json.dumps({"id": "d" * 40})),
        f"{PROJECT}/repository/files/templates%2Fbuild%2Ftemplate.yml/raw?ref={'d' * 40}": (
            200,
            job("component"),
        ),
    }
    assert host
    return stub


@pytest.fixture
def project(served: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    host = served.url.removeprefix("http://")
    (root / ".gitlab-ci.yml").write_text(
        f"include:\n  - remote: {served.url}/remote.yml\n"
        "  - {project: g/p, ref: v1, file: ci/a.yml}\n"
        "  - template: Bash.gitlab-ci.yml\n"
        f"  - component: {host}/g/p/build@1\n" + job("own")
    )
    monkeypatch.chdir(root)
    monkeypatch.setenv("PODLANE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GITLAB_TOKEN", "glpat-secret")
    return root


def names(capsys: Any) -> list[str]:
    capsys.readouterr()
    assert main(["list", "--format", "json"]) == 0
    return [entry["name"] for entry in json.loads(capsys.readouterr().out)]


def test_what_is_not_locked_is_not_fetched(project: Path, served: Stub, capsys: Any) -> None:
    assert main(["lint"]) == 2
    assert "podlane includes update" in capsys.readouterr().err
    assert served.asked == []


def test_update_locks_and_everything_else_is_offline(
    project: Path, served: Stub, capsys: Any
) -> None:
    assert main(["includes", "update", "--gitlab-url", served.url]) == 0
    said = capsys.readouterr()
    assert "glpat-secret" not in said.out + said.err
    served.answers.clear()
    assert sorted(names(capsys)) == ["a", "b", "component", "own", "remote", "template"]
    lock = (project / ".podlane" / "includes.lock").read_text()
    assert SHA in lock
    assert "glpat-secret" not in lock
    assert main(["includes", "list", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {entry["kind"] for entry in listed} == {"remote", "project", "template", "component"}
    assert {entry["content"] for entry in listed} == {"cached"}


def test_update_fetches_what_child_pipelines_include(
    project: Path, served: Stub, capsys: Any
) -> None:
    (project / ".gitlab-ci.yml").write_text("go: {trigger: {include: child.yml}}\n")
    (project / "child.yml").write_text(f"include: ['{served.url}/remote.yml']\n")
    assert main(["includes", "update", "--gitlab-url", served.url]) == 0
    assert f"remote {served.url}/remote.yml: new" in capsys.readouterr().err
    (project / "child.yml").write_text(f"include: ['{served.url}/gone.yml']\n")
    assert main(["includes", "update", "--gitlab-url", served.url]) == 2
    assert "child.yml:1:11: warning: child pipeline of go: " in capsys.readouterr().err


def test_the_token_goes_to_the_gitlab_server_only(project: Path, served: Stub) -> None:
    main(["includes", "update", "--gitlab-url", served.url])
    tokens = dict(served.asked)
    assert tokens["/remote.yml"] is None
    assert tokens["/api/v4/templates/gitlab_ci_ymls/Bash"] == "glpat-secret"


def test_vendored_files_are_used_without_the_cache(
    project: Path, served: Stub, capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main(["includes", "update", "--gitlab-url", served.url])
    assert main(["includes", "vendor"]) == 0
    monkeypatch.setenv("PODLANE_DATA_DIR", str(tmp_path / "empty"))
    assert "component" in names(capsys)
    for path in (project / ".podlane" / "includes").iterdir():
        path.write_text("changed: {script: echo}\n")
    assert main(["lint"]) == 2
    assert "its digest differs" in capsys.readouterr().err


def test_a_lock_file_that_is_broken_is_named(project: Path, capsys: Any) -> None:
    lock = project / ".podlane" / "includes.lock"
    lock.parent.mkdir()
    lock.write_text("{")
    assert main(["lint"]) == 2
    assert "includes.lock cannot be read" in capsys.readouterr().err


def fetch(stub: Stub, kind: str, location: str, **more: str) -> str:
    pauses: list[float] = []
    fetcher = GitLabFetcher(stub.url, "t", pause=pauses.append)
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(RemoteFile(kind=kind, location=location, **more))
    stub.pauses = pauses  # type: ignore[attr-defined] # for the test that looks
    return str(caught.value)


def test_failures_are_told_in_gitlabs_words(served: Stub) -> None:
    url = f"{served.url}/nope.yml"
    assert fetch(served, "remote", url) == (
        f"Remote file `{url}` could not be fetched after 1 attempt because of HTTP code `404` error!"
    )
    assert fetch(served, "project", "g/p", file="x.yml", ref="v1") == (
        "Project `g/p` file `x.yml` does not exist!"
    )
    assert fetch(served, "project", "no/pe", file="x.yml").startswith(
        "Project `no/pe` not found or access denied!"
    )
    served.answers[PROJECT] = (200, "{}")
    assert fetch(served, "project", "g/p", file="x.yml", ref="nope") == (
        "Project `g/p` reference `nope` does not exist!"
    )
    host = served.url.removeprefix("http://")
    assert "content not found" in fetch(served, "component", f"{host}/g/p/nope@1")
    assert "its host is not" in fetch(served, "component", "other/g/p/build@1")
    assert "does not exist" in fetch(served, "template", "Nope.gitlab-ci.yml")


def test_a_server_error_is_tried_three_times(served: Stub) -> None:
    served.answers["/remote.yml"] = (503, "")
    said = fetch(served, "remote", f"{served.url}/remote.yml")
    assert "after 3 attempts because of HTTP code `503` error!" in said
    assert served.pauses == [1.0, 2.0]  # type: ignore[attr-defined] # set by fetch


def test_a_server_that_is_not_there_is_told() -> None:
    fetcher = GitLabFetcher("http://127.0.0.1:9", None, pause=lambda seconds: None)
    with pytest.raises(FetchError, match="because of a socket error"):
        fetcher.fetch(RemoteFile(kind="remote", location="http://127.0.0.1:9/a.yml"))
    with pytest.raises(FetchError, match="only http and https"):
        fetcher.fetch(RemoteFile(kind="remote", location="file:///etc/passwd"))


def test_a_redirect_takes_no_token_to_another_host(served: Stub) -> None:
    elsewhere = served.url.replace("127.0.0.1", "localhost")
    path = "/api/v4/templates/gitlab_ci_ymls/Moved"
    served.answers[path] = (302, f"{elsewhere}/moved")
    served.answers["/moved"] = (200, json.dumps({"content": job("x")}))
    GitLabFetcher(served.url, "t").fetch(
        RemoteFile(kind="template", location="Moved.gitlab-ci.yml")
    )
    assert dict(served.asked) == {path: "t", "/moved": None}


def test_the_newest_matching_release_is_taken(served: Stub) -> None:
    host = served.url.removeprefix("http://")
    entry, _ = GitLabFetcher(served.url).fetch(
        RemoteFile(kind="component", location=f"{host}/g/p/build@1")
    )
    assert entry.sha == "d" * 40


def test_a_token_may_come_from_the_environment() -> None:
    assert find_token("https://h", {"GITLAB_TOKEN": "x"}) == "x"


def test_a_store_reads_what_it_saved(tmp_path: Path) -> None:
    store = IncludeStore(tmp_path, tmp_path / "cache")
    assert list(store) == []
    with pytest.raises(FetchError, match="cannot be fetched offline"):
        store.read(RemoteFile(kind="remote", location="https://h/a.yml"))
