"""The project's settings for caches, as options."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from podlane.cli.servers import cachesettings
from podlane.cli.servers.cachesettings import CacheSettings
from podlane.kit.errors import UsageError


def settings_of(*arguments: str, coordinator: str | None = None) -> CacheSettings:
    found: list[CacheSettings] = []

    @click.command()
    @cachesettings.cache_options
    def command() -> None:
        found.append(cachesettings.for_own_coordinator(coordinator))

    CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)
    return found[0]


@pytest.mark.parametrize(
    ("arguments", "separated", "index"),
    [
        ((), True, None),
        (("--ci-separated-caches",), True, None),
        (("--no-ci-separated-caches",), False, None),
        (("--jobs-cache-index", "0"), True, 0),
        (("--jobs-cache-index", "3", "--no-ci-separated-caches"), False, 3),
    ],
)
def test_a_projects_settings_are_options(
    arguments: tuple[str, ...], separated: bool, index: int | None
) -> None:
    expected = CacheSettings(ci_separated_caches=separated, jobs_cache_index=index)
    assert settings_of(*arguments) == expected


def test_another_coordinator_has_settings_of_its_own() -> None:
    url = "http://other:1"
    assert settings_of(coordinator=url) == CacheSettings()
    with pytest.raises(UsageError, match="http://other:1 has its own settings for caches"):
        settings_of("--no-ci-separated-caches", coordinator=url)
