"""How many pause pods there are to be: a function of the time, the running jobs and the policies.

The rules are GitLab Runner's: the last policy that is meant decides; more at once, fewer when nobody
has needed them for ``idle_time``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from podlane.executors.kubernetes.settings.autoscaler import Autoscaler
from podlane.kit.periods import Schedule, find_zone, parse_minutes

_NOBODY_MEANT_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy. Without ``periods`` it is always meant; ``zone`` None: this machine's."""

    periods: tuple[Schedule, ...] = ()
    zone: tzinfo | None = None
    idle_count: int = 0
    idle_seconds: float = 0.0
    scale_factor: float = 0.0
    scale_factor_limit: int = 0

    def is_meant_for(self, now: float) -> bool:
        """Whether the policy is meant for a moment (seconds since the epoch)."""
        if not self.periods:
            return True
        local = datetime.fromtimestamp(now, UTC).astimezone(self.zone)
        return any(period.has(local) for period in self.periods)

    def count(self, active_jobs: int) -> int:
        """Return how many pods the policy asks for while so many jobs run."""
        scaled = math.ceil(self.scale_factor * active_jobs)
        if self.scale_factor_limit:
            scaled = min(scaled, self.scale_factor_limit)
        return max(self.idle_count, scaled)


_NOBODY_MEANT = Policy(idle_seconds=_NOBODY_MEANT_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many pods a moment asks for, and how long at least that number then stays."""

    count: int
    idle_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """All policies, in order; ``most`` 0: no limit."""

    entries: tuple[Policy, ...]
    most: int = 0

    def meant(self, now: float) -> Policy:
        """Return the policy of a moment (seconds since the epoch)."""
        return next((p for p in reversed(self.entries) if p.is_meant_for(now)), _NOBODY_MEANT)

    def wanted(self, now: float, active_jobs: int) -> Wanted:
        """Return how many pods there should be while so many jobs run."""
        policy = self.meant(now)
        count = policy.count(active_jobs)
        capped = min(count, self.most) if self.most else count
        return Wanted(count=capped, idle_seconds=policy.idle_seconds)


def read_policies(autoscaler: Autoscaler) -> Policies:
    """Return the policies of checked settings. May read files, those of the time zones."""
    return Policies(
        entries=tuple(
            Policy(
                periods=tuple(map(parse_minutes, entry.periods)),
                zone=find_zone(entry.timezone),
                idle_count=entry.idle_count,
                idle_seconds=entry.idle_seconds or 0.0,
                scale_factor=entry.scale_factor,
                scale_factor_limit=entry.scale_factor_limit,
            )
            for entry in autoscaler.policy
        ),
        most=autoscaler.max_pause_pods,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How many pods are kept, and from when on it may be fewer (seconds since the epoch)."""

    count: int = 0
    may_fall_at: float = 0.0

    def moved(self, wanted: Wanted, now: float) -> Level:
        """Return the next level: it rises at once, and falls when nobody wanted it for so long."""
        if wanted.count < self.count and now < self.may_fall_at:
            return self
        return Level(count=wanted.count, may_fall_at=now + wanted.idle_seconds)
