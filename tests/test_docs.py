"""Everything a user can type or set is documented, and no link is dead."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
import yaml
from scripts import cli_reference, helper_reference

from podlane.executors.kubernetes.permissions import (
    PAUSE_POD_PERMISSIONS,
    PERMISSIONS,
    SETTING_PERMISSIONS,
)
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kube.paths import RESOURCES
from podlane.model.failures import FailureReason

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = ROOT / "docs" / "reference"
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_links_only_to_files_that_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = [link for link in _LINK.findall(text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_begins_with_its_title(page: Path) -> None:
    assert page.read_text().startswith("# "), page


def test_every_page_of_the_docs_is_reachable_from_their_index() -> None:
    seen: set[Path] = set()
    open_pages = [ROOT / "docs" / "index.md", ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page in seen:
            continue
        seen.add(page)
        links = [link for link in _LINK.findall(page.read_text()) if link.endswith(".md")]
        targets = [(page.parent / link).resolve() for link in links if "://" not in link]
        open_pages += [target for target in targets if target.exists()]
    lost = [
        str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md") if page not in seen
    ]
    assert lost == []


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="click wraps by the Python's own rules")
def test_the_page_of_commands_is_current() -> None:
    page = REFERENCE / "cli.md"
    assert page.read_text() == cli_reference.render(), "run: make docs"


def test_the_page_of_the_helper_is_current() -> None:
    assert helper_reference.PAGE.read_text() == helper_reference.render(), "run: make docs"


def test_every_setting_of_the_executor_is_documented() -> None:
    names = {field.encode_name for field in msgspec.structs.fields(KubernetesSettings)}
    assert {name for name in names if f"`{name}`" not in _reference()} == set()


def test_every_failure_reason_is_documented() -> None:
    assert {reason for reason in FailureReason if f"`{reason}`" not in _reference()} == set()


def _reference() -> str:
    return "".join(page.read_text() for page in REFERENCE.glob("*.md"))


def test_every_variable_of_our_environment_is_documented() -> None:
    names = {
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"\bPODLANE_[A-Z0-9_]+\b", path.read_text())
    }
    text = "".join(page.read_text() for page in PAGES)
    internal = {"PODLANE_READY_FD", "PODLANE_COMPLETE"}
    assert {name for name in names - internal if f"`{name}" not in text} == set()


def test_the_role_of_the_docs_has_exactly_what_the_manager_asks_for() -> None:
    page = (ROOT / "docs" / "how-to" / "cluster.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    for block, permissions in zip(blocks, (PERMISSIONS, SETTING_PERMISSIONS), strict=True):
        granted = {
            (verb, group, resource)
            for rule in yaml.safe_load(block)["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        assert granted == {(one.verb, _group(one.resource), one.resource) for one in permissions}


def _group(resource: str) -> str:
    return RESOURCES[resource.partition("/")[0]].group


def test_the_cluster_role_of_pause_pods_has_exactly_what_the_manager_asks_for() -> None:
    page = (ROOT / "docs" / "how-to" / "pause-pods.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (rule,) = yaml.safe_load(textwrap.dedent(block))["rules"]
    granted = {(verb, resource) for resource in rule["resources"] for verb in rule["verbs"]}
    assert granted == {(one.verb, one.resource) for one in PAUSE_POD_PERMISSIONS}
