"""``autoscaler``: how many pause pods keep nodes ready, and when."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from podlane.executors.kubernetes.settings.base import Table
from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.kit.periods import ZONE_HINT, find_zone, parse_minutes
from podlane.kit.units import go_duration

_PERIOD_HINT = "minute, hour, day of the month, month, day of the week: * 8-17 * * mon-fri"
_DURATION_HINT = "write it as Go does: 300s, 5m, 1h30m"


class Policy(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``policy``. Without ``periods`` it is always meant; the last one that is meant decides.

    ``idle_time`` is a duration of Go; a number is nanoseconds.
    """

    periods: tuple[str, ...] = ()
    timezone: str = ""
    idle_count: int = 0
    idle_time: str | int = ""
    scale_factor: float = 0.0
    scale_factor_limit: int = 0
    preemptive_mode: bool | None = None

    @property
    def idle_seconds(self) -> float | None:
        """``idle_time``, None when it is no duration."""
        if isinstance(self.idle_time, int):
            return self.idle_time / 1e9
        return go_duration(self.idle_time) if self.idle_time else 0.0


class Autoscaler(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``autoscaler``. Without a policy nothing is kept ready; ``max_pause_pods`` 0 is no limit."""

    max_pause_pods: int = 0
    pause_pod_image: str = ""
    pause_pod_priority_class_name: str = ""
    pause_pod_image_pull_secrets: tuple[str, ...] = ()
    policy: tuple[Policy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wrong:
    """What is wrong at ``path`` (below ``autoscaler``), and what to write instead."""

    path: str
    message: str
    hint: str | None = None
    severity: Severity = Severity.ERROR


def problems(autoscaler: Autoscaler | None, place: Place) -> list[Diagnostic]:
    """Return everything in ``autoscaler`` that makes no sense."""
    if autoscaler is None:
        return []
    found = [*_negative("", "max_pause_pods", autoscaler.max_pause_pods)]
    for index, policy in enumerate(autoscaler.policy):
        found += _in_policy(f"policy[{index}].", policy)
    return [
        Diagnostic(
            code="setting-value" if each.severity is Severity.ERROR else "setting-no-effect",
            message=f"runners.kubernetes.autoscaler.{each.path}: {each.message}",
            place=place,
            hint=each.hint,
            severity=each.severity,
        )
        for each in found
    ]


def _in_policy(path: str, policy: Policy) -> Iterator[_Wrong]:
    for index, period in enumerate(policy.periods):
        try:
            parse_minutes(period)
        except ValueError as error:
            where = f"{path}periods[{index}]"
            yield _Wrong(path=where, message=str(error), hint=_PERIOD_HINT)
    try:
        find_zone(policy.timezone)
    except ValueError as error:
        yield _Wrong(path=f"{path}timezone", message=str(error), hint=ZONE_HINT)
    yield from _negative(path, "idle_count", policy.idle_count)
    yield from _negative(path, "scale_factor_limit", policy.scale_factor_limit)
    if not 0 <= policy.scale_factor < math.inf:
        yield _Wrong(
            path=f"{path}scale_factor",
            message=f"{policy.scale_factor} is not a number of pods for each job",
            hint="0 and more; 0.5 keeps one pod for each two jobs that run",
        )
    seconds = policy.idle_seconds
    if seconds is None or seconds < 0:
        message = f'"{policy.idle_time}" is not a duration'
        yield _Wrong(path=f"{path}idle_time", message=message, hint=_DURATION_HINT)
    if policy.preemptive_mode is not None:
        yield _Wrong(
            path=f"{path}preemptive_mode",
            message="has no effect with pods, here as in GitLab Runner",
            hint="remove it",
            severity=Severity.WARNING,
        )


def _negative(path: str, key: str, value: int) -> Iterator[_Wrong]:
    if value < 0:
        yield _Wrong(path=f"{path}{key}", message=f"{value} is less than 0")
