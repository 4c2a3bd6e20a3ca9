"""Where and how GitLab expands variables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.compiler.variables.expansion import ExpandedVariables, circles, circles_message, expand
from podlane.model.job import Variable


def test_expansion_knows_three_ways_to_write_a_reference() -> None:
    assert expand("$A-${A}-%A%", {"A": "x"}) == "x-x-x"
    assert expand("[$NO]", {}) == "[]"
    assert expand("[$NO ${NO} %NO%]", {}, keep_undefined=True) == "[$NO ${NO} %NO%]"


def variables(**pairs: str) -> dict[str, Variable]:
    return {key: Variable(key=key, value=value) for key, value in pairs.items()}


def test_values_are_expanded_through_one_another() -> None:
    found = ExpandedVariables(variables(A="$B-a", B="${C}", C="c", D="$NO$$A"))
    assert found["A"] == "c-a"
    assert found["D"] == "$$A"


def test_a_raw_variable_and_a_file_are_inserted_as_they_are() -> None:
    raw = {
        "R": Variable(key="R", value="$C", raw=True),
        "F": Variable(key="F", value="f", file=True),
    }
    assert ExpandedVariables({**variables(A="$R$F", C="c"), **raw})["A"] == "$Cf"


def test_for_the_runner_what_it_expands_itself_stays() -> None:
    raw = {
        "R": Variable(key="R", value="$C", raw=True),
        "F": Variable(key="F", value="f", file=True),
    }
    found = ExpandedVariables({**variables(A="$R$F$NO$C", C="c"), **raw}, for_runner=True)
    assert found["A"] == "$R$F$NOc"


def test_a_value_that_names_itself_means_the_other_definitions_and_wins() -> None:
    low, high, own = variables(A="low", B="$A"), variables(A="high"), variables(A="$A:own")
    assert ExpandedVariables(low, own)["A"] == "low:own"
    assert ExpandedVariables(low, own)["B"] == "low:own"
    assert ExpandedVariables(own, high)["A"] == "high:own"
    assert ExpandedVariables(low, own, high)["B"] == "high:own"
    assert ExpandedVariables(own)["A"] == ":own"
    assert ExpandedVariables(own, for_runner=True)["A"] == "$A:own"


def test_where_values_contain_themselves_none_is_expanded() -> None:
    found = ExpandedVariables(variables(A="$B", B="$A", C="$D", D="d"))
    assert (found["A"], found["C"]) == ("$B", "$D")
    assert ExpandedVariables(variables(A="$A"), variables(A="-$A"))["A"] == "-$A"


# Ruby's order: GitLab's Variables::Collection::Sort, run on these.
@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([variables(A="$B", B="$C", C="$A")], [["A", "B", "C"]]),
        ([variables(A="$A")], []),
        ([variables(A="$A"), variables(A="$A")], [["A", "A"]]),
        ([variables(A="a"), variables(A="$A")], []),
        ([variables(A="$B $B", B="$C", C="", D="$B$C")], []),
        ([variables(A="$B", C="$D"), variables(B="$A", D="$C")], [["A", "B"], ["C", "D"]]),
        ([variables(D="$C"), variables(C="$B", B="$C")], [["C", "B"]]),
        ([variables(G="x$A-$B", B="$C"), variables(C="$G", G="$C")], [["G", "B", "C", "G"]]),
    ],
)
def test_circles_are_named_as_gitlab_names_them(
    layers: list[dict[str, Variable]], expected: list[list[str]]
) -> None:
    assert circles(layers) == expected


def test_all_circles_are_told_in_one_sentence_and_left_as_they_are() -> None:
    assert circles_message([["A", "B"], ["C", "C"]]) == (
        'circular variable reference detected: ["A", "B"], ["C", "C"]'
    )
    assert ExpandedVariables(variables(A="$B", B="$A"))["A"] == "$B"


@given(st.dictionaries(st.sampled_from("ABCD"), st.text(alphabet="$ABCD{}%x", max_size=8)))
def test_expansion_ends_for_every_set_of_variables(pairs: dict[str, str]) -> None:
    expanded = ExpandedVariables(variables(**pairs))
    assert all(isinstance(value, str) for value in expanded.values())
