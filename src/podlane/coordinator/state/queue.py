"""Which waiting job fits which runner, and which of those comes first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ANY_TAG = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A job that waits for a runner. ``busy``: how many jobs of its pipeline are being run."""

    job_id: int
    pipeline_id: int
    tags: frozenset[str] = frozenset()
    busy: int = 0
    protected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offerer:
    """What a runner takes. The tag ``*`` stands for any; a paused one takes nothing."""

    tags: frozenset[str] = frozenset()
    run_untagged: bool = True
    protected_only: bool = False
    paused: bool = False


def fits(waiting: Waiting, runner: Offerer) -> bool:
    """Whether the runner has all of the job's tags; a job without tags needs ``run_untagged``."""
    if runner.paused or (runner.protected_only and not waiting.protected):
        return False
    if ANY_TAG in runner.tags and waiting.tags:
        return True
    return waiting.tags <= runner.tags if waiting.tags else runner.run_untagged


def pick(waiting: Iterable[Waiting], runner: Offerer) -> Waiting | None:
    """Return the job to hand out: the pipeline that runs least first, then the oldest job."""
    fitting = [entry for entry in waiting if fits(entry, runner)]
    return min(fitting, key=lambda entry: (entry.busy, entry.job_id), default=None)
