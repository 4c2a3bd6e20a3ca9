"""Expressions and their values, after GitLab's reference of the language."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.runner.moa.errors import EvaluationError, MoaError, ParseError, SensitiveError
from podlane.runner.moa.evaluate import Scope
from podlane.runner.moa.parser import MAX_DEPTH, MAX_OPERATORS, RESERVED
from podlane.runner.moa.template import expand

SCOPE = Scope(
    {
        "name": "world", "empty": "", "count": 3.0, "ratio": 0.5, "yes": True, "no": False,
        "tags": ("smoke", "full"), "place": {"city": "Sydney", "a-b": 1.0}, "secret": "hidden",
    },
    frozenset({"secret"}),
)  # fmt: skip


def value(expression: str) -> str:
    return expand(f"${{{{ {expression} }}}}", SCOPE)[0]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        # literals
        ("null", "<null>"), ("true", "true"), ("false", "false"),
        ("42", "42"), ("3.14", "3.14"), ("1.5e3", "1500"), ("2E-4", "0.0002"),
        (r'"a\n\t\"\\\/A"', 'a\n\t"\\/A'), (r'"\ud83d\ude00"', "\U0001f600"),
        (r"'It\'s a string'", "It's a string"), (r"'a\\b'", r"a\b"),
        ("'Literal ${{ not evaluated }}'", "Literal ${{ not evaluated }}"),
        (r'"\${{ x }}"', "${{ x }}"), ('"hi ${{ job.inputs.name }}!"', "hi world!"),
        ('"${{ 1 }}" + "x"', "1x"),
        # arithmetic
        ("2 + 3", "5"), ('"a" + "b"', "ab"), ("10 - 4", "6"), ("3 * 4", "12"),
        ("10 / 4", "2.5"), ("10 % 3", "1"), ("-10 % 3", "-1"), ("1 - 2 - 3", "-4"),
        ("2 + 3 * 4", "14"), ("(1 + 2) * 3", "9"), ("+5", "5"), ("-5", "-5"), ("--5", "5"),
        ("0.1 + 0.2", "0.30000000000000004"), ("0.00001", "0.00001"),
        ("9007199254740991", "9007199254740991"),
        # comparison
        ("1 == 1", "true"), ("1 != 2", "true"), ("1 < 2", "true"), ("2 <= 2", "true"),
        ("3 > 2", "true"), ("3 >= 4", "false"), ('1 == "1"', "false"), ('1 != "1"', "true"),
        ('"a" < "b"', "true"), ("false < true", "true"), ("null == null", "true"),
        ("null == false", "false"), ("true == 1", "false"),
        ("[1, 2] == [1, 2]", "true"), ("[1, 2] < [1, 3]", "true"), ("[1] < [1, 0]", "true"),
        ("{a: 1, b: 2} == {b: 2, a: 1}", "true"), ("{a: 1} < {a: 1, b: 2}", "true"),
        ("{a: 1} < {b: 0}", "true"), ("{a: 1} < {a: 2}", "true"),
        # logic
        ('"" || "default"', "default"), ('"x" || "default"', "x"), ('"x" && "y"', "y"),
        ('"" && "y"', ""), ("!true", "false"), ('!""', "true"), ("0 || false || 7", "7"),
        ("true || false && false", "true"), ("1 < 2 && 2 < 3", "true"),
        ("[] || 1", "1"), ("{} || 1", "1"), ("null || 1", "1"), ("!!job.inputs.tags", "true"),
        # structures
        ("[1, 2, 3,][1]", "2"), ('{name: "runner", version: 1,}.name', "runner"),
        ('{"string-key": true}["string-key"]', "true"),
        ("{(job.inputs.name): 7}.world", "7"), ("{a: {b: 1}}.a.b", "1"),
        # access
        ("job.inputs.name", "world"), ('job.inputs["name"]', "world"),
        ("job.inputs.tags[1]", "full"), ("job.inputs.place.city", "Sydney"),
        ('job.inputs.place["a-b"]', "1"), ('job.inputs["na" + "me"]', "world"),
        # functions
        ("str(42)", "42"), ("str(true)", "true"), ("str(null)", "<null>"), ('num("42") + 1', "43"),
        ('num("3.14")', "3.14"), ('bool("hello")', "true"), ('bool("")', "false"),
        ("bool(0)", "false"), ("bool(1)", "true"), ('str(1 + 1) + ".0"', "2.0"),
        # as in the examples of the reference
        ('job.inputs.yes && "-v" || ""', "-v"), ('job.inputs.no && "-v" || ""', ""),
        ('job.inputs.name == "world" && "tools:stable" || "tools:latest"', "tools:stable"),
    ],
)  # fmt: skip
def test_an_expression_has_the_value_that_the_reference_gives(expression: str, text: str) -> None:
    assert value(expression) == text


@pytest.mark.parametrize(
    ("text", "expanded", "found"),
    [
        ("echo $HOME ${X} $((1 + 2)) }}", "echo $HOME ${X} $((1 + 2)) }}", False),
        ("${{job.inputs.name}}", "world", True),
        ("a ${{ job.inputs.name }} b ${{ job.inputs.count }} c", "a world b 3 c", True),
        ("${{ job.inputs.yes }}!", "true!", True),
        (r"Use \${{ to start", "Use ${{ to start", False),
        (r"\${{ a }} ${{ 1 }}", "${{ a }} 1", True),
        ("${{\n  1 +\n  1\n}}", "2", True),
        ("${{ {a: {b: 1}}.a.b }}", "1", True),
        ('${{ "}}" }}', "}}", True),
        ("${{ 1 }}${{ 2 }}", "12", True),
        ("", "", False),
    ],
)
def test_texts_around_expressions_stay(text: str, expanded: str, found: bool) -> None:
    assert expand(text, SCOPE) == (expanded, found)


@pytest.mark.parametrize(
    "text",
    ["${{", "${{ }}", "${{ 1", "${{ 1 }", "${{ 1 } }", "${{ job.inputs.any_input + }}", "${{ 1 2 }}",
     "${{ a b }}", '${{ "x }}', "${{ 'x }}", r'${{ "\q" }}', r"${{ '\n' }}", "${{ (1 }}",
     "${{ [1 }}", "${{ {a 1} }}", "${{ a. }}", "${{ 1.. }}", "${{ # }}", "${{ if }}", "${{ string }}",
     r'${{ "\ud83d" }}', r'${{ "\ude00" }}', '${{ "${{ 1 }}', "${{ f(1 }}", "${{ 5x }}", "${{ a & b }}"],
)  # fmt: skip
def test_what_is_no_expression_is_a_parse_error_with_its_place(text: str) -> None:
    with pytest.raises(ParseError, match=r"at character \d+$") as caught:
        expand(text, SCOPE)
    assert caught.value.kind == "parse"


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_reserved_words_are_no_names(word: str) -> None:
    with pytest.raises(ParseError, match="reserved"):
        value(word)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ('"hello" + 42', "cannot join"), ("1 / 0", "division by zero"), ("1 % 0", "division by zero"),
        ("-true", "takes a number"), ("nope", "'nope' is not known here"), ("job", "'job'"),
        ("str", "call it"), ("job.inputs.nope", "it has count, empty"), ("f(1)", "'f' is no function"),
        ("(1)(2)", "only functions"), ("str()", "takes one value"), ("str(1, 2)", "takes one value"),
        ('num("x")', "takes a text with a number"), ('num("nan")', "takes a text"),
        ("num(1)", "takes a text"),
        ("[1][1]", "1 elements"), ("[1][-1]", "1 elements"), ("[1][0.5]", "1 elements"),
        ("{a: 1}.b", "no field 'b'"), ('"text"[0]', "no element"), ("{(1): 2}", "must be a text"),
        ("job.inputs.tags", "an array cannot become text"), ("job.inputs.place", "an object cannot"),
        ('1 < "2"', "have no order"), ("1e300 * 1e300", "cannot become text"),
        ("1e21", "cannot become text"),
        ("env.HOME", "'env' is not known here"),
    ],
)  # fmt: skip
def test_what_has_no_value_is_an_evaluation_error(expression: str, says: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        value(expression)
    assert says in str(caught.value)
    assert caught.value.kind == "evaluation"


@pytest.mark.parametrize(
    "expression",
    ["job.inputs.secret", 'job.inputs.secret + "x"', "str(job.inputs.secret)", "!job.inputs.secret",
     'job.inputs.secret == "hidden"', 'job.inputs.secret && "a" || "b"', "[job.inputs.secret][0]",
     "{a: job.inputs.secret}.a", '"${{ job.inputs.secret }}"', "bool(job.inputs)",
     'job.inputs["sec" + "ret"]', "job.inputs.tags[num(job.inputs.secret || 0)]"],
)  # fmt: skip
def test_what_a_sensitive_input_went_into_is_not_shown(expression: str) -> None:
    with pytest.raises((SensitiveError, EvaluationError)) as caught:
        value(expression)
    assert "hidden" not in str(caught.value)


def test_an_input_that_is_not_sensitive_is_shown_beside_one_that_is() -> None:
    assert value("job.inputs.name") == "world"


@pytest.mark.parametrize(
    "expression",
    ["(" * 5000 + "1" + ")" * 5000, "-" * 5000 + "1", "[" * 5000, "1" + "+1" * 5000,
     "job" + ".a" * 5000, '"${{' * 3000],
)  # fmt: skip
def test_deep_and_long_expressions_are_refused_in_time(expression: str) -> None:
    with pytest.raises(ParseError):
        value(expression)


def test_what_is_within_the_limits_is_computed() -> None:
    assert value("(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1)) == "1"
    assert value("1" + "+1" * (MAX_OPERATORS - 1)) == str(MAX_OPERATORS)


ALPHABET = "${}[]().,:\"'\\ 01ae+-*/%<>=!&|\nu"


@given(st.text(alphabet=ALPHABET, max_size=60))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    for tried in (text, f"${{{{{text}}}}}"):
        with contextlib.suppress(MoaError):
            expand(tried, SCOPE)


@given(st.text(max_size=40))
def test_a_text_without_an_opening_is_itself(text: str) -> None:
    if "${{" not in text:
        assert expand(text, SCOPE) == (text, False)


@given(st.text(max_size=40))
def test_a_quoted_text_is_itself(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    assert value(f"'{quoted}'") == text


@given(st.floats(min_value=-1e15, max_value=1e15, allow_nan=False))
def test_a_number_survives_as_text(number: float) -> None:
    if number == 0 or abs(number) >= 1e-6:
        assert float(value(f'num("{number!r}")')) == number
