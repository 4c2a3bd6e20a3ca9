"""What shapes a pipeline: the checkout, the event, the variables file; and reports for other tools."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from podlane.cli.main import main
from podlane.cli.project.asked import Asked
from podlane.cli.project.checkout import Checkout
from podlane.cli.project.context import Changes, context_of
from podlane.cli.project.variablesfile import load
from podlane.compiler.context import FetchError
from podlane.kit.errors import UsageError

CONFIG = """\
build:
  script: echo
release:
  script: echo
  rules:
    - if: $CI_COMMIT_TAG
"""


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), "-c", "user.name=A", "-c", "user.email=a@b", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / ".gitlab-ci.yml").write_text(CONFIG)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Title\n\nBody")
    git(tmp_path, "remote", "add", "origin", "git@host:g/p.git")
    return Checkout(tmp_path)


def test_the_facts_are_those_of_the_commit(checkout: Checkout) -> None:
    facts = checkout.facts()
    assert facts.sha == git(checkout.root, "rev-parse", "HEAD")
    assert facts.message == "Title\n\nBody\n"
    assert facts.author == "A <a@b>"
    assert facts.default_branch == "trunk"
    assert facts.remote_url == "git@host:g/p.git"


def test_a_directory_without_git_has_no_facts(tmp_path: Path) -> None:
    empty = Checkout(tmp_path)
    assert empty.facts().sha == ""
    assert empty.branch() is None
    assert Changes(empty, Asked()).files(None) is None


def test_an_event_gives_source_and_ref(checkout: Checkout) -> None:
    push = context_of(checkout, Asked(), "f", [])
    assert (push.source, push.ref, push.tag) == ("push", "trunk", False)
    request = context_of(checkout, Asked(event="merge_request", ref="x", target="main"), "f", [])
    assert request.merge_request is not None
    assert (request.source, request.merge_request.source_branch) == ("merge_request_event", "x")
    assert request.merge_request.target_branch == "main"
    with pytest.raises(UsageError, match="no tag"):
        context_of(checkout, Asked(event="tag"), "f", [])
    git(checkout.root, "tag", "v1")
    tag = context_of(checkout, Asked(event="tag"), "f", [])
    assert (tag.source, tag.ref, tag.tag) == ("push", "v1", True)


def test_changes_are_those_since_a_ref_with_uncommitted_and_new_files(checkout: Checkout) -> None:
    git(checkout.root, "branch", "base")
    (checkout.root / "new").write_text("x")
    (checkout.root / ".gitlab-ci.yml").write_text(CONFIG + "\n")
    changes = Changes(checkout, Asked())
    assert changes.files("base") == [".gitlab-ci.yml", "new"]
    assert changes.files("refs/heads/base") == [".gitlab-ci.yml", "new"]
    assert changes.files(None) is None  # nothing was pushed: what a push would change is not known
    assert Changes(checkout, Asked(changes_from="base")).files(None) == [".gitlab-ci.yml", "new"]
    with pytest.raises(FetchError):
        changes.files("nope")
    with pytest.raises(UsageError, match="--changes-from nope"):
        Changes(checkout, Asked(changes_from="nope")).files(None)


def test_a_push_compares_with_its_upstream(checkout: Checkout, tmp_path_factory: Any) -> None:
    remote = tmp_path_factory.mktemp("remote")
    git(remote, "init", "-q", "--bare")
    git(checkout.root, "remote", "set-url", "origin", str(remote))
    git(checkout.root, "push", "-q", "-u", "origin", "trunk")
    assert Changes(checkout, Asked()).files(None) == []
    (checkout.root / "a").write_text("x")
    assert Changes(checkout, Asked()).files(None) == ["a"]
    assert Changes(checkout, Asked(event="schedule")).files(None) is None


def test_a_variables_file_may_be_dotenv(tmp_path: Path) -> None:
    path = tmp_path / "vars.env"
    path.write_text("# comment\nA=1\nexport B = 'two words'\nC=\n")
    assert [(v.variable.key, v.variable.value) for v in load(path)] == [
        ("A", "1"),
        ("B", "two words"),
        ("C", ""),
    ]
    path.write_text("nonsense\n")
    with pytest.raises(UsageError, match=r"vars\.env:1: this is no NAME=value line"):
        load(path)


def test_a_variables_file_may_be_yaml_with_scopes(tmp_path: Path) -> None:
    path = tmp_path / "vars.yml"
    path.write_text(
        "A: 1\nB:\n  - {value: x, environment_scope: prod}\n  - {value: yyyyyyyy, masked: true}\n"
    )
    found = load(path)
    assert [(v.scope, v.variable.key, v.variable.value) for v in found] == [
        ("*", "A", "1"),
        ("prod", "B", "x"),
        ("*", "B", "yyyyyyyy"),
    ]
    assert found[2].variable.masked
    for text, message in (
        ("- a\n", "must be a map"),
        ("A: {foo: 1}\n", "unknown keys: foo"),
        ("A: b: c\n", "mapping values"),
        ("A: {value: x, hidden: true}\n", "A is hidden and must be masked too"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            load(path)
    with pytest.raises(UsageError, match="cannot read"):
        load(tmp_path / "nope.yml")


# GitLab's Ci::Maskable (18.11) and its spec.
@pytest.mark.parametrize(
    ("value", "raw", "good"),
    [
        ("1234567", False, False),
        ("12345678", False, True),
        ("Ab_+=/@:.~-9", False, True),
        ("pass!word", False, False),
        ("$VARIABLE", False, False),
        ("12345678\n", False, False),
        ("two words", False, False),
        ("1234567", True, False),
        ("pass!$w\u00f6rd", True, True),
        ("two words", True, False),
        ("1234\n5678", True, False),
    ],
)
def test_only_what_gitlab_can_mask_may_be_masked(
    tmp_path: Path, value: str, raw: bool, good: bool
) -> None:
    path = tmp_path / "vars.yml"
    item = {"value": value, "masked": True, "hidden": True, "raw": raw}
    path.write_text(json.dumps({"SECRET": item}))
    if good:
        assert load(path)[0].variable.value == value
        return
    with pytest.raises(UsageError, match="SECRET cannot be masked") as caught:
        load(path)
    assert value not in str(caught.value)


def test_protected_variables_are_for_protected_refs(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    path = tmp_path / "vars.yml"
    path.write_text("TOKEN: {value: x, protected: true}\n")
    (checkout.root / ".gitlab-ci.yml").write_text(
        "always: {script: echo}\nsafe: {script: echo, rules: [{if: $TOKEN}]}\n"
    )
    names = {}
    for ref in (checkout.default_branch(), "topic"):
        arguments = ("list", "--variables-file", str(path), "--ref", ref, "--format", "json")
        _, text = run(checkout, monkeypatch, capsys, *arguments)
        names[ref] = [job["name"] for job in json.loads(text) if job["included"]]
    assert list(names.values()) == [["always", "safe"], ["always"]]


def run(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: str
) -> tuple[int, str]:
    monkeypatch.chdir(checkout.root)
    code = main(arguments)
    return code, capsys.readouterr().out


def test_list_names_what_is_left_out(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    _, text = run(checkout, monkeypatch, capsys, "list")
    assert "release" in text
    assert "no rule matched" in text
    _, text = run(
        checkout, monkeypatch, capsys, "list", "--event", "tag", "--ref", "v1", "--format", "json"
    )
    assert [job["name"] for job in json.loads(text) if job["included"]] == ["build", "release"]


def test_explain_and_graph_answer(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    code, text = run(checkout, monkeypatch, capsys, "explain", "release", "--format", "json")
    assert (code, json.loads(text)["included"]) == (0, False)
    code, text = run(checkout, monkeypatch, capsys, "explain", "relese")
    assert code == 2
    for kind, part in (("text", "build"), ("mermaid", "flowchart"), ("svg", "<svg")):
        code, text = run(checkout, monkeypatch, capsys, "graph", "--format", kind)
        assert code == 0
        assert part in text


def test_lint_reports_to_other_tools(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (checkout.root / ".gitlab-ci.yml").write_text("x:\n  script: echo\n  tag: a\n")
    code, text = run(checkout, monkeypatch, capsys, "lint", "--format", "sarif")
    (result,) = json.loads(text)["runs"][0]["results"]
    assert code == 2
    assert result["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 3,
        "startColumn": 3,
    }
    _, text = run(checkout, monkeypatch, capsys, "lint", "--format", "codequality")
    (finding,) = json.loads(text)
    assert finding["location"] == {"path": ".gitlab-ci.yml", "lines": {"begin": 3}}
    assert "unknown keys: tag" in finding["description"]


def test_inputs_are_given_by_name(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (checkout.root / ".gitlab-ci.yml").write_text(
        "spec:\n  inputs:\n    n: {type: number}\n---\nx:\n  script: echo $[[ inputs.n ]]\n"
    )
    code, text = run(checkout, monkeypatch, capsys, "compile", "--input", "n=3")
    assert (code, json.loads(text)["jobs"]["x"]["script"]) == (0, ["echo 3"])
    assert run(checkout, monkeypatch, capsys, "compile", "--input", "n")[0] == 2


def test_what_a_run_cannot_honour_is_an_error_unless_it_is_allowed(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (checkout.root / ".gitlab-ci.yml").write_text("x:\n  trigger: g/p\n")
    code, text = run(checkout, monkeypatch, capsys, "lint", "--format", "json")
    assert (code, json.loads(text)["findings"][0]["line"]) == (2, 2)
    code, text = run(
        checkout, monkeypatch, capsys, "lint", "--format", "json", "--allow-unsupported"
    )
    document = json.loads(text)
    assert (code, document["valid"], document["partial"]) == (0, True, True)
    assert [finding["severity"] for finding in document["findings"]] == ["warning"]


def test_a_file_that_may_not_be_read_is_a_finding_with_a_place(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (checkout.root / "a.yml").mkdir()
    (checkout.root / ".gitlab-ci.yml").write_text("include: [../x.yml, a.yml]\nx: {script: echo}\n")
    code, text = run(checkout, monkeypatch, capsys, "lint", "--format", "json")
    findings = json.loads(text)["findings"]
    assert code == 2
    assert [(finding["line"], finding["column"]) for finding in findings] == [(1, 11), (1, 21)]
    assert "outside the project" in findings[0]["message"]
    assert "cannot read a.yml: Is a directory" in findings[1]["message"]
