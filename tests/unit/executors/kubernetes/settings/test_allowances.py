from __future__ import annotations

import pytest

from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.diagnostics import Place, Severity
from podlane.kit.jsonvalue import Json

PLACE = Place(file="config.toml")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("cpu_limit_overwrite_max_allowed", "many", '"many" is not a quantity'),
        ("pod_memory_request_overwrite_max_allowed", "1GB", '"1GB" is not a quantity'),
        ("pod_labels_overwrite_allowed", "(", '"(" is no regular expression: missing ): ('),
        ("service_account_overwrite_allowed", "a(?!b)", "is no regular expression"),
        ("allowed_images", ["ruby:*", "{a,b"], '"{a,b" is no pattern: } is missing'),
        ("allowed_services", ["[]"], '"[]" is no pattern: [] is empty'),
        ("node_selector", {"kubernetes.io/os": "windows"}, 'kubernetes.io/os is "windows"'),
    ],
)
def test_what_cannot_be_read_is_an_error_with_the_keys_name(
    key: str, value: Json, said: str
) -> None:
    settings, findings = decode_settings({key: value}, PLACE)
    assert settings == KubernetesSettings()
    assert [finding.severity for finding in findings] == [Severity.ERROR]
    assert findings[0].message.startswith(f"runners.kubernetes.{key}: ")
    assert said in findings[0].message
    assert findings[0].hint


def test_a_user_that_is_no_number_is_a_warning() -> None:
    table: dict[str, Json] = {"allowed_users": ["root", "1000"], "allowed_groups": ["wheel"]}
    settings, findings = decode_settings(table, PLACE)
    assert settings.allowed_users == ("root", "1000")
    assert [finding.severity for finding in findings] == [Severity.WARNING] * 2
    assert 'allowed_users: "root" is not a number and allows nobody' in findings[0].message


def test_empty_values_are_not_set() -> None:
    table: dict[str, Json] = {
        "cpu_limit_overwrite_max_allowed": "",
        "pod_labels_overwrite_allowed": "",
        "allowed_images": [],
        "allowed_users": [],
    }
    assert decode_settings(table, PLACE) == (KubernetesSettings(), [])
