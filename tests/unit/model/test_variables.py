import pytest

from podlane.model.job import Variable
from podlane.model.variables import Variables


def expanded(*items: Variable, temp_dir: str = "/foo/bar") -> Variables:
    return Variables(items, temp_dir=temp_dir).expanded()


def test_each_value_expands_once_against_the_unexpanded_list() -> None:
    variables = Variables(
        [
            Variable(key="key", value="value_of_$public"),
            Variable(key="public", value="some_value", public=True),
            Variable(key="private", value="value_of_${public}"),
            Variable(key="public", value="value_of_$undefined", public=True),
        ]
    ).expanded()
    assert variables.get("key") == "value_of_value_of_$undefined"
    assert variables.get("public") == "value_of_"
    assert variables.expand("${public} ${private}") == "value_of_ value_of_value_of_$undefined"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$$", "$"),
        ("$/dsa", "$/dsa"),
        ("aa$@bb", "aabb"),
        ("aa${@}bb", "aabb"),
        ("$1abc", "abc"),
        ("x${}y", "xy"),
        ("x${abc", "xabc"),
        ("tail$", "tail$"),
        ("${a}-$a-$ab", "A-A-"),
    ],
)
def test_references_follow_go_os_expand(text: str, result: str) -> None:
    assert expanded(Variable(key="a", value="A")).expand(text) == result


def test_raw_values_stay_but_can_be_referenced() -> None:
    variables = expanded(
        Variable(key="base", value="x"),
        Variable(key="raw", value="value_of_${base}", raw=True),
        Variable(key="user", value="<$raw>"),
    )
    assert variables.get("raw") == "value_of_${base}"
    assert variables.get("user") == "<value_of_${base}>"


def test_a_file_variable_is_its_path_in_expansion_and_its_content_as_value() -> None:
    variables = expanded(Variable(key="a_file_var", value="content", file=True))
    assert variables.get("a_file_var") == "/foo/bar/a_file_var"
    assert variables.value("a_file_var") == "content"
    assert variables.expand("${a_file_var}.txt") == "/foo/bar/a_file_var.txt"
    assert variables.expanded() is variables


@pytest.mark.parametrize("raw", ["true", "TRUE", "tRuE", "1"])
def test_true_words(raw: str) -> None:
    assert Variables([Variable(key="X", value=raw)]).flag("X")


@pytest.mark.parametrize("raw", ["false", "0", "-1", "100", "", "something"])
def test_everything_else_is_false(raw: str) -> None:
    assert not Variables([Variable(key="X", value=raw)]).flag("X")


@pytest.mark.parametrize(
    ("raw", "value"), [("true", True), ("FALSE", False), ("0", False), ("maybe", True), ("", True)]
)
def test_a_default_stands_for_what_is_no_boolean(raw: str, value: bool) -> None:
    assert Variables([Variable(key="X", value=raw)]).flag("X", default=True) is value


def test_a_boolean_that_is_none_warns_in_gitlabs_words() -> None:
    variables = Variables([Variable(key="CI_X", value="maybe")])
    assert variables.flag_problem("CI_X") == (
        'CI_X: expected bool got "maybe", using default value: false'
    )


def test_masked_values_cover_every_definition() -> None:
    variables = Variables(
        [
            Variable(key="A", value="one", masked=True),
            Variable(key="A", value="two", masked=True),
            Variable(key="B", value="  ", masked=True),
            Variable(key="F", value="file content", masked=True, file=True),
        ]
    )
    assert variables.masked_values() == ("one", "two", "file content")
