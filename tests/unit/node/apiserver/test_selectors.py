from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.kube import errors
from podlane.node.apiserver.selectors import parse_labels, selector

LABELS: Any = {"app": "web", "tier": "1", "example.com/team": "ci"}


def selects(labels: str, fields: str = "", resource: str = "pods", **entry: Any) -> bool:
    chosen = selector(labels, fields, resource)
    return chosen is None or chosen({"metadata": {"labels": LABELS}, **entry})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=", False),
        ("app!=web", False),
        ("missing!=x", True),
        ("app in (db, web)", True),
        ("app in (db)", False),
        ("app notin (db,cache)", True),
        ("missing notin (x)", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("tier>0", True),
        ("tier<1", False),
        ("app>0", False),
        ("example.com/team=ci", True),
        ("app=web,tier in (1,2),!missing", True),
        ("app=web,tier=2", False),
        (" app = web , tier ", True),
    ],
)
def test_label_selectors_follow_the_grammar(raw: str, expected: bool) -> None:
    assert selects(raw) is expected


@pytest.mark.parametrize("raw", ["=x", "a in b", "a in (b", "a==b==c", "a b", ",", "-a", "a>x"])
def test_what_is_no_label_selector_is_a_bad_request(raw: str) -> None:
    with pytest.raises(errors.InvalidError, match="unable to parse requirement"):
        parse_labels(raw)


NAME = st.from_regex(r"[a-z]([a-z0-9]{0,5}[a-z])?", fullmatch=True)


@given(labels=st.dictionaries(NAME, NAME, max_size=4), key=NAME, values=st.sets(NAME, min_size=1))
def test_in_and_notin_are_opposites(labels: dict[str, str], key: str, values: set[str]) -> None:
    entry: Any = {"metadata": {"labels": labels}}
    listed = ",".join(sorted(values))
    inside = selector(f"{key} in ({listed})", "", "pods")
    outside = selector(f"{key} notin ({listed})", "", "pods")
    assert inside is not None
    assert outside is not None
    assert inside(entry) is not outside(entry)
    assert inside(entry) is (labels.get(key) in values)


def test_field_selectors_compare_text() -> None:
    pod: Any = {"spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    assert selects("", "status.phase=Running,spec.nodeName!=m", **pod)
    assert not selects("", "status.phase!=Running", **pod)
    assert selects("", "spec.nodeName==n", **pod)


def test_events_are_selected_by_what_they_are_about() -> None:
    about: Any = {"involvedObject": {"name": "p", "uid": "1"}}
    assert selects("", "involvedObject.name=p,involvedObject.uid=1", "events", **about)
    assert not selects("", "involvedObject.uid=2", "events", **about)


def test_a_field_that_cannot_be_selected_by_is_named() -> None:
    with pytest.raises(errors.InvalidError, match=r"field label not supported: spec\.foo"):
        selector("", "spec.foo=1", "pods")
