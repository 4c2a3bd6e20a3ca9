"""Which waiting job a runner gets."""

from __future__ import annotations

import pytest

from podlane.coordinator.state.queue import Offerer, Waiting, fits, pick


@pytest.mark.parametrize(
    ("tags", "runner", "fit"),
    [
        ((), Offerer(), True),
        ((), Offerer(run_untagged=False), False),
        ((), Offerer(tags=frozenset({"a"}), run_untagged=False), False),
        (("a",), Offerer(), False),
        (("a",), Offerer(tags=frozenset({"a", "b"})), True),
        (("a", "c"), Offerer(tags=frozenset({"a", "b"})), False),
        (("a", "c"), Offerer(tags=frozenset({"*"})), True),
        ((), Offerer(tags=frozenset({"*"}), run_untagged=False), False),
        ((), Offerer(paused=True), False),
        (("a",), Offerer(tags=frozenset({"*"}), paused=True), False),
        ((), Offerer(protected_only=True), False),
    ],
)
def test_a_job_fits_a_runner_that_has_all_its_tags(
    tags: tuple[str, ...], runner: Offerer, fit: bool
) -> None:
    assert fits(Waiting(job_id=1, pipeline_id=1, tags=frozenset(tags)), runner) is fit


@pytest.mark.parametrize("protected_only", [False, True])
def test_a_protected_job_fits_every_runner(protected_only: bool) -> None:
    waiting = Waiting(job_id=1, pipeline_id=1, protected=True)
    assert fits(waiting, Offerer(protected_only=protected_only))


def test_the_pipeline_that_runs_least_comes_first_then_the_oldest_job() -> None:
    busy = Waiting(job_id=1, pipeline_id=1, busy=3)
    young = Waiting(job_id=9, pipeline_id=2, busy=0)
    old = Waiting(job_id=5, pipeline_id=2, busy=0)
    assert pick([busy, young, old], Offerer()) == old
    assert pick([busy], Offerer()) == busy
    assert pick([], Offerer()) is None
