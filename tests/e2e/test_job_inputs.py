"""Inputs of jobs, from the file and the command line into the scripts that run in pods."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Project, Run

pytestmark = pytest.mark.e2e

CONFIG = """
    deploy:
      image: alpine
      inputs:
        target: {default: staging, options: [staging, production]}
        replicas: {type: number, default: 3}
        dry: {type: boolean, default: true}
        hosts: {type: array, default: [one, two]}
      script:
        - 'echo "to ${{ job.inputs.target }}, ${{ job.inputs.replicas + 1 }} with the spare"'
        - 'echo "dry is ${{ job.inputs.dry }}, first is ${{ job.inputs.hosts[0] }}"'
    plain:
      image: alpine
      script: "echo 'kept ${{ job.inputs.target }}'"
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), ("to staging, 4 with the spare", "dry is true, first is one")),
        (
            ("target=production", "replicas=0", "dry=false", 'hosts=["x=y"]'),
            ("to production, 1 with the spare", "dry is false, first is x=y"),
        ),
    ],
)
def test_a_job_gets_its_inputs(
    project: Project, run: Run, given: tuple[str, ...], said: tuple[str, str]
) -> None:
    options = [part for text in given for part in ("--job-input", f"deploy.{text}")]
    ran = run(project(CONFIG), *options)
    assert ran.code == 0, ran
    lines = ran.trace("deploy").splitlines()
    assert all(line in lines for line in said), ran
    assert "kept ${{ job.inputs.target }}" in ran.trace("plain")


def test_a_value_that_an_input_does_not_take_starts_nothing(project: Project, run: Run) -> None:
    ran = run(project(CONFIG), "--job-input", "deploy.target=moon")
    assert ran.code == 2, ran
    assert "`moon` cannot be used because it is not in the list of allowed options" in ran.err
