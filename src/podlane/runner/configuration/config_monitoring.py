"""Read ``[runners.monitoring]`` of ``config.toml``."""

from __future__ import annotations

from podlane.kit import goregex
from podlane.kit.periods import ZONE_HINT, Schedule, find_zone, parse
from podlane.runner.configuration.monitoring import QueuingDuration
from podlane.runner.configuration.toml_table import Table


def read_monitoring(runner: Table) -> tuple[QueuingDuration, ...]:
    """Return the settings; what is wrong goes into the table's findings."""
    table = runner.table("monitoring")
    entries = tuple(_duration(entry) for entry in table.tables("job_queuing_durations"))
    table.finish()
    return entries


def _duration(table: Table) -> QueuingDuration:
    pattern = table.text("jobs_running_for_project")
    if pattern and (wrong := goregex.problem(pattern)):
        said = f"{pattern!r} is no regular expression: {wrong}"
        table.error("jobs_running_for_project", "setting-value", said)
        pattern = ""
    zone = table.text("timezone")
    try:
        find_zone(zone)
    except ValueError as error:
        table.error("timezone", "setting-value", str(error), ZONE_HINT)
        zone = ""
    settings = QueuingDuration(
        periods=_periods(table), timezone=zone, jobs_running_for_project=pattern,
        threshold_seconds=table.seconds("threshold", 0.0),
    )  # fmt: skip
    table.finish()
    return settings


def _periods(table: Table) -> tuple[Schedule, ...]:
    found = []
    for text in table.texts("periods"):
        try:
            found.append(parse(text))
        except ValueError as error:
            hint = "second, minute, hour, day, month, day of the week, year: * * 9-17 * * mon-fri *"
            table.error("periods", "setting-value", str(error), hint)
    return tuple(found)
