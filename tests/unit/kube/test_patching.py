from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.kube import errors
from podlane.kube.patching import json_patch, merge, strategic

VALUES: Any = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)
OBJECTS: Any = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # the examples of RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge(target, patch) == result


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_changes_nothing_more(target: Any, patch: Any) -> None:
    once = merge(target, patch)
    assert merge(once, patch) == once


@given(OBJECTS)
def test_a_patch_never_changes_its_target(target: Any) -> None:
    before = repr(target)
    merge(target, {"x": {"y": 1}})
    strategic(target, {"x": {"y": 1}})
    json_patch(target, [{"op": "add", "path": "/x", "value": 1}])
    assert repr(target) == before


CONTAINERS: Any = {
    "containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}]
}


@pytest.mark.parametrize(
    ("patch", "names"),
    [
        ({"containers": [{"name": "b", "image": "2"}]}, ["b", "a"]),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, []),
        ({"containers": [{"$patch": "replace"}, {"name": "c"}]}, ["c"]),
        (
            {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "b"}],
            },
            ["b", "a"],
        ),
    ],
)
def test_containers_merge_by_name(patch: Any, names: list[str]) -> None:
    result: Any = strategic(CONTAINERS, patch)
    assert [container["name"] for container in result["containers"]] == names


def test_a_container_keeps_what_the_patch_does_not_name() -> None:
    patch: Any = {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]}
    result: Any = strategic(CONTAINERS, patch)
    assert result["containers"][0]["image"] == "1"
    assert [variable["name"] for variable in result["containers"][0]["env"]] == ["Y", "X"]


@pytest.mark.parametrize(
    ("patch", "names"),
    [
        ({"containers": [{"name": "x"}]}, ["x", "a", "b", "c"]),
        ({"containers": [{"name": "b"}]}, ["a", "b", "c"]),
        ({"containers": [{"name": "b"}, {"name": "x"}]}, ["a", "b", "x", "c"]),
        ({"containers": [{"name": "c"}, {"name": "a"}]}, ["b", "c", "a"]),
        ({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}]}, ["a", "c", "b"]),
    ],
)
def test_a_merged_list_has_the_order_of_an_api_server(patch: Any, names: list[str]) -> None:
    target: Any = {"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
    result: Any = strategic(target, patch)
    assert [container["name"] for container in result["containers"]] == names


@pytest.mark.parametrize(
    "entry", [{"image": "1"}, {"$patch": "delete"}, {"$patch": "delete", "image": "1"}]
)
def test_an_entry_without_the_merge_key_is_refused(entry: Any) -> None:
    with pytest.raises(errors.InvalidError, match="does not contain declared merge key: name"):
        strategic(CONTAINERS, {"containers": [entry]})


def test_primitive_lists_can_lose_entries() -> None:
    target: Any = {"metadata": {"finalizers": ["a", "b"]}}
    patch: Any = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}
    assert strategic(target, patch) == {"metadata": {"finalizers": ["b", "c"]}}


def test_a_map_can_be_replaced_as_a_whole() -> None:
    assert strategic({"m": {"a": 1}}, {"m": {"$patch": "replace", "b": 2}}) == {"m": {"b": 2}}


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/b", "value": 2}, {"a": [1, 2], "b": 2}),
        ({"op": "add", "path": "/a/1", "value": 9}, {"a": [1, 9, 2]}),
        ({"op": "add", "path": "/a/-", "value": 9}, {"a": [1, 2, 9]}),
        ({"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"op": "replace", "path": "/a/0", "value": 7}, {"a": [7, 2]}),
        ({"op": "copy", "from": "/a", "path": "/c"}, {"a": [1, 2], "c": [1, 2]}),
        ({"op": "move", "from": "/a", "path": "/x~1y"}, {"x/y": [1, 2]}),
        ({"op": "test", "path": "/a/0", "value": 1}, {"a": [1, 2]}),
    ],
)
def test_json_patch_operations(operation: Any, result: Any) -> None:
    assert json_patch({"a": [1, 2]}, [operation]) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "add", "path": "/a/7", "value": 2},
        {"op": "add", "path": "a", "value": 2},
        {"op": "nonsense", "path": "/a"},
    ],
)
def test_json_patches_that_cannot_be_done_are_refused(operation: Any) -> None:
    with pytest.raises(errors.InvalidError):
        json_patch({"a": [1, 2]}, [operation])
