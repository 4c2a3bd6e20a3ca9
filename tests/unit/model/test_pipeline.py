from __future__ import annotations

from podlane.model.pipeline import Need, Pipeline, PipelineJob, Trigger, without_foreign_bridges


def test_nothing_waits_for_a_job_that_starts_a_pipeline_of_another_project() -> None:
    foreign = PipelineJob(name="foreign", stage="test", script=(), bridge=True)
    child = PipelineJob(
        name="child", stage="test", script=(), bridge=True, trigger=Trigger(content="{}")
    )
    needs = (Need(job="foreign"), Need(job="child"))
    job = PipelineJob(name="y", stage="test", script=("a",), needs=needs)
    pipeline = without_foreign_bridges(Pipeline(stages=("test",), jobs=(foreign, child, job)))
    assert [(one.name, one.needs) for one in pipeline.jobs] == [
        ("child", None),
        ("y", (Need(job="child"),)),
    ]
