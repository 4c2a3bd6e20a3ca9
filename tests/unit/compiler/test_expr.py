"""``rules:if``: GitLab's truth table, row by row, and properties of the parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.compiler.expr import nodes
from podlane.compiler.expr.errors import ExpressionError
from podlane.compiler.expr.evaluate import is_true
from podlane.compiler.expr.parser import parse

ENVIRONMENT = {
    "P": "my variable", "E": "", "W": "  ", "F": "false", "T": "true", "Z": "0",
    "PATH1": "a/path/variable/value", "FULL": "/a/full/path/variable/value", "S": "abcde",
    "R1": "/^ab.*/", "R2": "/^at.*/", "B": "feature/x", "V": "v1.2.3", "ML": "a\nb",
}  # fmt: skip

ROWS: list[tuple[int, str, bool | None]] = [
    (1, "$P", True),
    (2, "$E", False),
    (3, "$N", False),
    (4, "$W", False),
    (5, "$F", True),
    (6, "$Z", True),
    (7, '$P == "my variable"', True),
    (8, '"my variable" == $P', True),
    (9, "$P == 'no match'", False),
    (10, "$N == null", True),
    (11, "$E == null", False),
    (12, '$E == ""', True),
    (13, '$N == ""', False),
    (14, '$N != ""', True),
    (15, "$P != null", True),
    (16, "$E != null", True),
    (17, "null == $N", True),
    (18, "$N == $N2", True),
    (19, "$T == true", True),
    (20, "$F == false", True),
    (21, "$N == false", False),
    (22, "$E == false", False),
    (23, "true", True),
    (24, "null", False),
    (25, "$P =~ /var.*e$/", True),
    (26, "$P =~ /^var.*/", False),
    (27, "$E =~ /var.*/", False),
    (28, "$N =~ /var.*/", False),
    (29, "$N !~ /var.*/", True),
    (30, "$P =~ /VAR.*/i", True),
    (31, "$P !~ /VAR.*/i", False),
    (32, r"$PATH1 =~ /path\/variable/", True),
    (33, r"$FULL =~ /^\/a\/full\/path\/variable\/value$/", True),
    (34, "$P =~ $N", False),
    (35, "$P !~ $N", True),
    (36, "$S =~ $R1", True),
    (37, "$S =~ $R2", False),
    (38, '$S =~ "abcde"', True),
    (39, "$S =~ $S", True),
    (40, '"23" =~ "1234"', True),
    (41, '"23" =~ /1234/', False),
    (42, '$P =~ "my"', False),
    (43, '$N =~ "abc"', True),
    (44, "$P && $E", False),
    (45, "$E && $P", True),
    (46, '$E && "string"', True),
    (47, '"string" && $E', False),
    (48, "$N && $P", False),
    (49, "$P || $N", True),
    (50, "$N || $P", True),
    (51, "$E || $P", False),
    (52, '$E == "" || $P', True),
    (53, '$P && null || $E == ""', True),
    (54, '($P) && (null || $E == "")', True),
    (55, '("string" || "test") == "string"', True),
    (56, '"string" == ("test" && "string")', True),
    (57, '"string" == ("test" || "string")', False),
    (58, '"string" == "test" || "string"', True),
    (59, "$P =~ /my var/ && $E =~ /nope/", False),
    (60, "!$N", True),
    (61, "!$E", True),
    (62, '!$P == "false"', True),
    (63, "!($P && $N)", True),
    (64, r"$B =~ /^feature\/.+/", True),
    (65, r"$V =~ /^v\d+\.\d+\.\d+$/", True),
    (66, "$ML =~ /^b/", False),
    (67, "$ML =~ /^b/m", True),
    (68, '"" =~ /x*/', True),
    (69, '$P = "x"', None),
    (70, "$P =~ /./", None),
    (71, "$P =~ /a/b/", None),
    (72, "$P =~ /^(?!my)/", None),
    (73, '${P} == "x"', None),
    (74, "$P == x", None),
    (74, "$P == 1", None),
    (75, '$P == "a" &&', None),
    (76, "($P", None),
    (76, "$P)", None),
    (77, "$P $E", None),
    (78, '$P > "a"', None),
    (79, r'$P == "say \"hi\""', None),
    (80, "", None),
]


def test_all_eighty_rows_are_here() -> None:
    assert {row for row, _, _ in ROWS} == set(range(1, 81))


@pytest.mark.parametrize(
    ("text", "expected"), [r[1:] for r in ROWS], ids=[f"{r[0]}: {r[1]}" for r in ROWS]
)
def test_row(text: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(ExpressionError):
            parse(text)
    else:
        assert is_true(parse(text), ENVIRONMENT) is expected


def test_a_single_character_between_slashes_is_invalid_but_the_last_may_be_a_slash() -> None:
    assert str(parse("$P =~ /ab//")) == "$P =~ /ab//"


def test_99_tokens_are_valid_and_100_are_not() -> None:
    assert str(parse(" || ".join(["$A"] * 50))).count("$A") == 50
    with pytest.raises(ExpressionError, match="Too many tokens!"):
        parse("!" + " || ".join(["$A"] * 50))


_leaves = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).map(nodes.Variable),
    st.text(alphabet="abc \"'/$&|", max_size=6)
    .filter(lambda s: not ('"' in s and "'" in s))
    .map(nodes.Text),
    st.sampled_from(["/ab/", "/^a.*b$/i", r"/x\/y/"]).map(nodes.Pattern),
    st.just(nodes.Null()),
    st.booleans().map(nodes.Boolean),
)
_trees = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(
            nodes.Binary, st.sampled_from(["==", "!=", "=~", "!~", "&&", "||"]), inner, inner
        ),
        st.builds(nodes.Not, inner),
    ),
    max_leaves=12,
)


@given(_trees)
def test_a_tree_written_out_parses_to_the_same_tree(tree: nodes.Node) -> None:
    assert parse(str(tree)) == tree


@given(_trees, st.dictionaries(st.sampled_from(["A", "B", "a"]), st.text(max_size=5)))
def test_every_valid_tree_has_a_value(tree: nodes.Node, variables: dict[str, str]) -> None:
    assert is_true(tree, variables) in (True, False)


@given(st.text(alphabet="$AB\"'/()=~!&| nulltruefas.*[\\imsU", max_size=40))
def test_no_text_makes_the_parser_crash(text: str) -> None:
    try:
        tree = parse(text)
    except ExpressionError:
        return
    is_true(tree, {"A": "/x/", "B": ""})
