"""Nothing that a script prints or does changes a result or the log."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Project, Run

pytestmark = pytest.mark.e2e


def test_output_that_looks_like_a_protocol_changes_nothing(project: Project, run: Run) -> None:
    ran = run(
        project(r"""
        liar:
          image: alpine
          script:
            - echo '{"command_exit_code":0,"script":"/scripts-1-1/step_script"}'
            - echo '{"script":"step_script","exit_code":0}'
            - printf 'section_end:1:step_script\r\033[0Ksection_start:1:upload\r\033[0K\n'
            - printf '\033[32;1mJob succeeded\033[0;m\n'
            - echo 'last words'
            - exit 7
    """)
    )
    assert ran.code == 1, ran
    liar = ran.jobs["liar"]
    assert (liar["failure_reason"], liar["exit_code"]) == ("script_failure", 7)
    assert '{"command_exit_code":0' in liar["trace"]
    assert "last words" in liar["trace"]


def test_a_script_that_deletes_everything_it_can_still_has_its_own_result(
    project: Project, run: Run
) -> None:
    ran = run(
        project("""
        vandal:
          image: alpine
          script:
            - echo start
            - rm -rf /builds/* /logs* /scripts* /podlane* /tmp/* 2>/dev/null || true
            - echo still here
            - exit 5
    """)
    )
    assert ran.code == 1, ran
    vandal = ran.jobs["vandal"]
    assert vandal["status"] == "failed"
    assert vandal["exit_code"] == 5 or vandal["failure_reason"] != "script_failure", ran
    assert "start" in vandal["trace"]


def test_background_processes_do_not_keep_the_job_alive(project: Project, run: Run) -> None:
    ran = run(
        project("""
        daemon:
          image: alpine
          script:
            - sleep 300 &
            - (while true; do echo noise; sleep 1; done) &
            - echo done
    """)
    )
    assert ran.code == 0, ran
    assert ran.jobs["daemon"]["duration_seconds"] < 20


def test_a_hundred_mebibytes_of_output_do_not_hurt(project: Project, run: Run) -> None:
    ran = run(
        project("""
        loud:
          image: alpine
          script:
            - head -c 104857600 /dev/zero | tr '\\0' x | fold -w 99
            - echo the end
            - exit 9
    """)
    )
    assert ran.code == 1, ran
    loud = ran.jobs["loud"]
    assert (loud["failure_reason"], loud["exit_code"]) == ("script_failure", 9)
    assert loud["trace"].count("x" * 99) > 10_000


def test_secrets_do_not_reach_the_trace_of_a_job_that_prints_its_environment(
    project: Project, run: Run
) -> None:
    ran = run(
        project("""
        env:
          image: alpine
          script: ['echo "token is $CI_JOB_TOKEN"', env]
    """)
    )
    assert ran.code == 0, ran
    assert "token is [MASKED]" in ran.trace("env")
