"""Which runner goes on with which job of a dead manager. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.job.keeping import Left
from podlane.runner.system_id import short_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Heritage:
    """``shares`` are the jobs left to each runner, in the order of the runners; ``rest`` is nobody's.

    ``memories`` are those of environments that go on, under this process too: nobody may remove them.
    """

    shares: tuple[tuple[Left, ...], ...] = ()
    rest: tuple[Left, ...] = ()
    memories: tuple[bytes, ...] = ()


def divide(
    left: Iterable[Left], running: Iterable[Left], runners: Sequence[RunnerSettings]
) -> Heritage:
    """Give each job to its runner, or to another one of its coordinator, which can say that it failed.

    ``running`` are the jobs that a living process runs.
    """
    shares: list[list[Left]] = [[] for _ in runners]
    rest: list[Left] = []
    kept = list(running)
    for each in left:
        own = [runner.url == each.state.url for runner in runners]
        same = [mine and is_heir(each, runner) for mine, runner in zip(own, runners, strict=True)]
        chosen = same if any(same) else own
        if any(chosen):
            shares[chosen.index(True)].append(each)
        else:
            rest.append(each)
        if any(same):
            kept.append(each)
    memories = tuple(each.state.memory for each in kept if goes_on(each))
    return Heritage(shares=tuple(map(tuple, shares)), rest=tuple(rest), memories=memories)


def is_heir(left: Left, runner: RunnerSettings) -> bool:
    """Whether the job was this runner's, so that its environment can be found."""
    return left.state.url == runner.url and left.state.runner == short_token(runner.token)


def goes_on(left: Left) -> bool:
    """Whether the job's environment is still needed."""
    return bool(left.state.memory) and (left.mark is None or left.mark.outcome is None)
