"""The YAML reader against Ruby's Psych 4.0.4: the 65 probes of which Psych's answers were recorded."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.compiler.files import reader
from podlane.compiler.source import Map, Reference, Seq, Symbol

REFUSED = object()
RECURSIVE = object()

PROBES: list[tuple[str, str, Any]] = [
    ("yes", "k: yes", {"k": True}),
    ("on", "k: on", {"k": True}),
    ("Off", "k: Off", {"k": False}),
    ("y", "k: y", {"k": "y"}),
    ("n", "k: n", {"k": "n"}),
    ("TRUE", "k: TRUE", {"k": True}),
    ("null", "k: null", {"k": None}),
    ("tilde", "k: ~", {"k": None}),
    ("empty", "k:", {"k": None}),
    ("octal 0755", "k: 0755", {"k": 493}),
    ("0o17", "k: 0o17", {"k": "0o17"}),
    ("08", "k: 08", {"k": "08"}),
    ("1_000", "k: 1_000", {"k": 1000}),
    ("1,000", "k: 1,000", {"k": 1000}),
    ("12:30", "k: 12:30", {"k": 45000}),
    ("1:30:00", "k: 1:30:00", {"k": 5400}),
    ("1e3", "k: 1e3", {"k": "1e3"}),
    ("1.5e+3", "k: 1.5e+3", {"k": 1500.0}),
    ("1.5e3", "k: 1.5e3", {"k": "1.5e3"}),
    (".5", "k: .5", {"k": 0.5}),
    ("1.", "k: 1.", {"k": 1.0}),
    ("0x1F", "k: 0x1F", {"k": 31}),
    ("0b11", "k: 0b11", {"k": 3}),
    (".inf", "k: .inf", {"k": math.inf}),
    (".nan", "k: .nan", {"k": math.nan}),
    ("date", "k: 2024-01-02", REFUSED),
    ("datetime", "k: 2024-01-02 10:00:00 Z", REFUSED),
    ("symbol", "k: :sym", {"k": Symbol("sym")}),
    ("equals", "k: =", {"k": "="}),
    ("key on", "on: 1", {True: 1}),
    ("key yes", "yes: 1", {True: 1}),
    ("int key", "1: a", {1: "a"}),
    ("null key", "~: a", {None: "a"}),
    ("dup key", "a: 1\na: 2", {"a": 2}),
    (
        "merge",
        "x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3",
        {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}},
    ),
    ("merge after", "x: &x {a: 1}\ny: {a: 3, <<: *x}", {"x": {"a": 1}, "y": {"a": 1}}),
    (
        "merge list",
        "x: &x {a: 1}\nz: &z {a: 2}\ny:\n  <<: [*x, *z]",
        {"x": {"a": 1}, "z": {"a": 2}, "y": {"a": 1}},
    ),
    (
        "two merges",
        "x: &x {a: 1}\nz: &z {b: 2}\ny:\n  <<: *x\n  <<: *z",
        {"x": {"a": 1}, "z": {"b": 2}, "y": {"a": 1, "b": 2}},
    ),
    ("merge scalar", "y: {<<: 5}", {"y": {"<<": 5}}),
    ("!reference", "k: !reference [a, b]", {"k": ("!reference", ["a", "b"])}),
    ("unknown tag", "k: !foo bar", {"k": "bar"}),
    ("!!str 1", "k: !!str 1", {"k": "1"}),
    ("!!binary", "k: !!binary aGk=", {"k": "hi"}),
    ("!!set", "k: !!set {a, b}", REFUSED),
    ("tab indent", "k:\n\ta: 1", REFUSED),
    ("folded", "k: >-\n  a\n  b", {"k": "a b"}),
    ("anchor redefined", "a: &x 1\nb: *x\nc: &x 2\nd: *x", {"a": 1, "b": 1, "c": 2, "d": 2}),
    ("unknown alias", "k: *nope", REFUSED),
    ("flow colon", "k: [a:b, {c:d}]", {"k": ["a:b", {"c:d": None}]}),
    ("url", "k: http://x:80/y#z", {"k": "http://x:80/y#z"}),
    ("quoted key", '"a b": 1', {"a b": 1}),
    ("multi doc", "a: 1\n---\nb: 2", {"a": 1}),
    ("recursive alias", "a: &a [*a]", RECURSIVE),
    ("bom", "\ufeffa: 1", {"a": 1}),
    ("directive alone, as the text is cut", "%YAML 1.2\n---\nk: on", REFUSED),
    ("non-ascii", "k: é", {"k": "é"}),
    ("emoji", "k: 😀", {"k": "😀"}),
    ("long int", "k: 123456789012345678901234567890", {"k": 123456789012345678901234567890}),
    ("version", "k: 3.10", {"k": 3.1}),
    ("plus", "k: +1", {"k": 1}),
    ("dash", "k: - a", REFUSED),
    ("comment", "k: a # b", {"k": "a"}),
    ("percent", "k: %x", REFUSED),
    ("at", "k: @x", REFUSED),
    ("backtick", "k: `x`", REFUSED),
]


def plain(node: Any) -> Any:
    if isinstance(node, Reference):
        return ("!reference", plain(node.data))
    if isinstance(node, Map):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, Seq):
        return [plain(item) for item in node]
    return node


def first(text: str) -> Any:
    return reader.read_documents(text, "f.yml")[0].root


def test_there_are_65_probes() -> None:
    assert len(PROBES) == 65


@pytest.mark.parametrize(("text", "expected"), [p[1:] for p in PROBES], ids=[p[0] for p in PROBES])
def test_reads_as_psych_does(text: str, expected: Any) -> None:
    if expected is REFUSED:
        with pytest.raises(reader.YamlError):
            first(text)
        return
    if expected is RECURSIVE:
        document = reader.read_documents(text, "f.yml")[0]
        assert document.size == math.inf
        assert isinstance(document.root, Map)
        inner = document.root["a"]
        assert isinstance(inner, Seq)
        assert inner[0] is inner
        return
    got = plain(first(text))
    assert repr(got) == repr(expected)  # repr: true is not 1, 1.0 is not 1, nan is nan
    assert [type(key) for key in got] == [type(key) for key in expected]


def test_keys_values_and_items_know_their_place() -> None:
    root = first("a:\n  b: 1\n  c:\n    - x\n    - y\n")
    inner = root["a"]
    key, value, item = inner.key_at("b"), inner.value_at("b"), inner["c"].item_at(1)
    assert (key.name, key.line, key.column) == ("f.yml", 1, 2)
    assert (value.line, value.column) == (1, 5)
    assert (item.line, item.column) == (4, 6)


def test_merged_keys_keep_the_place_where_they_were_written() -> None:
    root = first("x: &x\n  a: 1\ny:\n  <<: *x\n")
    assert root["y"].key_at("a").line == 1


def test_duplicate_keys_are_noted_with_their_place() -> None:
    (document,) = reader.read_documents("a: 1\nb: {c: 1, c: 2}\na: 3\n", "f.yml")
    assert [(key, mark.line) for key, mark in document.duplicates] == [("c", 1), ("a", 2)]


def refusal(text: str) -> reader.YamlError:
    started = time.perf_counter()
    with pytest.raises(reader.YamlError) as caught:
        first(text)
    assert time.perf_counter() - started < 1
    return caught.value


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert refusal("\n".join(lines)).message == "The parsed YAML is too big"


def test_a_merge_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 {k: vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv}"]
    lines += [f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}" for n in range(1, 60)]
    assert refusal("\n".join(lines)).message == "The parsed YAML is too big"


def test_deep_nesting_is_refused_at_once() -> None:
    assert refusal("a: " + "[" * 100_000).message == "The parsed YAML is too big"
    assert refusal("[" * 101 + "]" * 101).message == "The parsed YAML is too big"


def test_a_large_file_is_refused_at_once() -> None:
    assert refusal("a: b\n" * 2_200_000).message == "The provided YAML is too big"


def test_syntax_errors_are_psychs_text_with_the_place() -> None:
    error = refusal("k: a: b\n")
    assert (
        error.message
        == "(<unknown>): mapping values are not allowed in this context at line 1 column 5"
    )
    assert error.mark is not None
    assert (error.mark.line, error.mark.column) == (0, 4)


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_crash(text: str) -> None:
    with contextlib.suppress(reader.YamlError):
        reader.read_documents(text, "f.yml")


@given(st.text(alphabet="-:?[]{}&*!|>'\"%@`#, \n\tab<01", max_size=60))
def test_no_yaml_looking_text_makes_the_reader_crash(text: str) -> None:
    with contextlib.suppress(reader.YamlError):
        reader.read_documents(text, "f.yml")
