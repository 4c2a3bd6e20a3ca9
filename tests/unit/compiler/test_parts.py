"""Durations, globs, expansion, predefined variables, slugs and cache keys."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from podlane.compiler import durations
from podlane.compiler.context import Context
from podlane.compiler.facts import server_of
from podlane.compiler.files import wildcards
from podlane.compiler.output.cachekeys import CacheKeys
from podlane.compiler.output.lower import environment_slug
from podlane.compiler.selection import globs
from podlane.compiler.source import Map, Seq, text_of
from podlane.compiler.variables.expansion import ExpandedVariables, circles, circles_message, expand
from podlane.compiler.variables.predefined import message_variables, pipeline_variables, slug
from podlane.model.job import Variable
from tests.fakes.files import MemoryFetcher

# ChronicDuration's own examples, and those of GitLab's documentation.
DURATIONS = {
    "1:20": 80,
    "1:20.51": 80.51,
    "4:01:01": 14461,
    "3 mins 4 sec": 184,
    "3 Mins 4 Sec": 184,
    "three mins four sec": 184,
    "2 hrs 20 min": 8400,
    "2h20min": 8400,
    "6 mos 1 day": 15638400,
    "1 year 6 mos 1 day": 31557600 + 15638400,
    "2.5 hrs": 9000,
    "47 yrs 6 mos and 4.5d": 47 * 31557600 + 6 * 2592000 + 4.5 * 86400,
    "two hours and twenty minutes": 8400,
    "four hours and forty minutes": 16800,
    "3 weeks and, 2 days": 3600 * 24 * 7 * 3 + 3600 * 24 * 2,
    "42": 42,
    "1 week": 604800,
    "1 hour 30 minutes": 5400,
    "3 minutes 30 seconds": 210,
}


@pytest.mark.parametrize("text", DURATIONS)
def test_a_duration_is_read_as_chronic_duration_does(text: str) -> None:
    assert durations.seconds(text) == DURATIONS[text]


@pytest.mark.parametrize(
    "text", ["", " ", "gobblygoo", "1 elephant", "1h x", ":", "1:", "0", "never"]
)
def test_what_is_no_duration_is_none(text: str) -> None:
    assert durations.seconds(text) is None


@given(st.text(alphabet="0123456789. :hmsdwyandone,", max_size=30))
def test_no_text_makes_the_duration_parser_crash(text: str) -> None:
    found = durations.seconds(text)
    assert found is None or found > 0


@example("[?-", "")
@given(st.text(alphabet="ab/*?[]{},!^\\-.", max_size=20), st.text(alphabet="ab/.", max_size=12))
def test_no_pattern_makes_the_glob_matcher_crash(pattern: str, path: str) -> None:
    assert globs.matcher(pattern)(path) in (True, False)


@given(st.text(alphabet="ab/.-_", max_size=20))
def test_a_path_without_special_characters_matches_itself(path: str) -> None:
    assert globs.matcher(path)(path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        # Ruby's documentation of File.fnmatch
        ("cat", "cat", True),
        ("cat", "category", False),
        ("c{at,ub}s", "cats", True),
        ("c?t", "cat", True),
        ("c??t", "cat", False),
        ("c*", "cats", True),
        ("ca[a-z]", "cat", True),
        ("ca[^t]", "cat", False),
        ("?", "/", False),
        ("*", "/", False),
        ("[/]", "/", False),
        ("\\?", "?", True),
        ("\\a", "a", True),
        ("[\\?]", "?", True),
        ("*", ".profile", True),
        (".*", ".profile", True),
        ("**/*.rb", "main.rb", True),
        ("**/*.rb", "lib/song.rb", True),
        ("**/foo", "a/b/c/foo", True),
        ("**/foo", "a/.b/c/foo", True),
        ("**.rb", "main.rb", True),
        ("**.rb", "lib/song.rb", False),
        ("a/**/b", "a/b", True),
        ("a{b,c{d,e}}f", "acdf", True),
        # ruby 3.1, asked with GitLab's flags
        ("{a", "{a", False),
        ("{a,b}{", "a{", False),
        ("\\{a", "{a", True),
        ("}a", "}a", True),
        ("[a", "[a", False),
        ("[]a]", "]", False),
        ("[]a]", "a]", False),
        ("[^]", "b", True),
        ("[^]", "/", False),
        ("[b-a]", "a", True),
        ("[c-a]", "b", False),
        ("[.-0]", "/", False),
        ("[.-0]", "0", True),
        ("a\\", "a", True),
        ("\\", "\\", False),
        ("a\\/**/b", "a/x/y/b", True),
    ],
)
def test_a_glob_matches_as_rubys_fnmatch(pattern: str, path: str, expected: bool) -> None:
    assert globs.matcher(pattern)(path) is expected


def test_many_stars_do_not_take_long() -> None:
    assert not globs.matcher("*a" * 20 + "b")("a" * 200)


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


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("git@gitlab.com:g/p.git", ("https://gitlab.com", "g/p")),
        ("ssh://git@host:2222/g/s/p.git", ("https://host", "g/s/p")),
        ("https://user:secret@host/g/p", ("https://host", "g/p")),
        ("http://host:8080/g/p.git/", ("http://host:8080", "g/p")),
    ],
)
def test_the_server_is_read_from_the_remote(remote: str, expected: tuple[str, str]) -> None:
    server = server_of(remote)
    assert server is not None
    assert (server.url, server.path) == expected


@pytest.mark.parametrize("remote", ["", "/srv/git/p.git", "file:///srv/p.git", "../p"])
def test_a_remote_on_this_machine_names_no_server(remote: str) -> None:
    assert server_of(remote) is None


def test_a_slug_is_what_gitlab_makes() -> None:
    # GitLab's Utils.slugify spec
    assert slug("TEST") == "test"
    assert slug("project_with_underscores") == "project-with-underscores"
    assert slug("namespace/project") == "namespace-project"
    assert slug("a" * 70) == "a" * 63
    assert slug("-a-") == "a"
    assert slug("Feature/ABC") == "feature-abc"
    assert slug("x" * 62 + "-y") == "x" * 62
    assert slug("größe") == "gr--e"
    assert not slug("")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # GitLab's Slug::Environment spec
        ("staging-12345678901234567", r"^staging-123456789-[a-z0-9]{6}$"),
        ("9-staging-123456789012345", r"^env-9-staging-123-[a-z0-9]{6}$"),
        ("staging-1234567890123456", r"^staging-1234567890123456$"),
        ("Production", r"^production-[a-z0-9]{6}$"),
        ("PRODUCTION", r"^production-[a-z0-9]{6}$"),
        ("review/1-foo", r"^review-1-foo-[a-z0-9]{6}$"),
        ("1-foo", r"^env-1-foo-[a-z0-9]{6}$"),
        ("foo-bar", r"^foo-bar$"),
        ("foo--bar", r"^foo-bar-[a-z0-9]{6}$"),
        ("foo**bar", r"^foo-bar-[a-z0-9]{6}$"),
        ("*-foo", r"^env-foo-[a-z0-9]{6}$"),
        ("staging-12345678-", r"^staging-12345678$"),
    ],
)
def test_an_environment_has_the_slug_that_gitlab_gives_it(name: str, expected: str) -> None:
    import re

    assert re.match(expected, environment_slug(name)), environment_slug(name)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [  # GitLab's search_files_by_wildcard_path (18.11) and its spec
        ("*.yml", "a.yml", True),
        ("*.yml", "d/a.yml", False),
        ("d/*.yml", "d/.yml", True),
        ("**.yml", "d/e/a.yml", True),
        ("**/*.yml", "a.yml", True),
        ("**/*.yml", "d/e/a.yml", True),
        ("d/**/a.yml", "d/a.yml", True),
        ("d/**/a.yml", "d/e/f/a.yml", True),
        ("d/**/a.yml", "da.yml", False),
        ("***/a.yml", "x/y/a.yml", True),
        ("***/a.yml", "xa.yml", True),
        ("a?.yml", "ab.yml", False),
        ("[a].yml", "a.yml", False),
        ("{a,b}.yml", "{a,b}.yml", True),
        ("a.yml", "axyml", False),
    ],
)
def test_only_stars_are_wildcards_of_includes_and_cache_keys(
    pattern: str, path: str, expected: bool
) -> None:
    assert wildcards.matcher(pattern)(path) is expected


@given(st.text(alphabet="a*/.[\\", max_size=30), st.text(alphabet="a/.", max_size=30))
def test_no_wildcards_crash_or_hang(pattern: str, path: str) -> None:
    assert wildcards.matcher(pattern)(path) in {True, False}


def test_key_files_may_be_globs_and_each_blob_counts_once() -> None:
    keys = CacheKeys(MemoryFetcher({"a.lock": "x", "b.lock": "x", "c": "y"}))
    cache = Map()
    cache["key"] = key = Map()
    key["files"] = Seq(None, ["*.lock"])
    key["prefix"] = ""
    (one,) = keys.lower(cache)
    key["files"] = Seq(None, ["a.lock"])
    (other,) = keys.lower(cache)
    assert one.key == other.key


@pytest.mark.parametrize(
    ("message", "title", "description"),
    [  # GitLab's Commit (18.11) and its spec
        ("Title\n", "Title", ""),
        ("Title\n\nBody\n\nEnd\n", "Title", "\nBody\n\nEnd"),
        ("Title\r\n\r\nBody\r\n", "Title", "\r\nBody"),
        ("Title\nno blank line\n\n", "Title", "no blank line\n"),
        ("", "No commit message", "No commit message"),
        (" \n", "No commit message", "No commit message"),
        ("x" * 99 + "\n\nBody\n", "x" * 99, "\nBody"),
        ("x" * 100 + "\n\nBody\n", "x" * 100, "x" * 100 + "\n\nBody\n"),
    ],
)
def test_a_commits_message_is_split_as_in_gitlab(
    message: str, title: str, description: str
) -> None:
    found = dict(message_variables(message))
    assert found["CI_COMMIT_MESSAGE"] == message
    assert (found["CI_COMMIT_TITLE"], found["CI_COMMIT_DESCRIPTION"]) == (title, description)
    assert found["CI_COMMIT_MESSAGE_IS_TRUNCATED"] == "false"


def test_a_long_message_is_cut_by_bytes() -> None:
    found = dict(message_variables("T\n" + "\u00e4" * 60_000))
    assert found["CI_COMMIT_MESSAGE"] == "T\n" + "\u00e4" * 49_999
    assert found["CI_COMMIT_MESSAGE_IS_TRUNCATED"] == "true"


def test_given_predefined_values_replace_computed_ones() -> None:
    found = pipeline_variables(Context(predefined={"CI_COMMIT_SHA": "x", "MORE": "y"}, ref="b"))
    assert found["CI_COMMIT_SHA"] == "x"
    assert found["MORE"] == "y"
    assert found["CI_COMMIT_BRANCH"] == "b"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, "1.0"),
        (1e20, "1.0e+20"),
        (1.5e-7, "1.5e-07"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        (True, "true"),
        (None, ""),
        (7, "7"),
    ],
)
def test_scalars_become_text_as_ruby_prints_them(value: float | bool | None, expected: str) -> None:
    assert text_of(value) == expected
