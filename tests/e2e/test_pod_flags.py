"""Feature flags that change a job's pod, from the configuration to the container."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import Project, Run

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("legacy", ["false", "true"])
def test_the_files_of_a_job_belong_to_the_user_of_its_image(
    project: Project, run: Run, legacy: str
) -> None:
    ran = run(
        project(f"""
        variables:
          FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR: "true"
          FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY: "{legacy}"
        make:
          stage: build
          image: alpine
          script: [mkdir out, echo one > out/file]
          artifacts: {{paths: [out/]}}
          cache: {{key: k, paths: [kept/], policy: pull-push}}
        use:
          stage: test
          image: steveazz/noroot-alpine
          script:
            - stat -c 'project %u %a' .
            - stat -c 'sources %u %a' .gitlab-ci.yml
            - stat -c 'artifact %u %a' out/file
            - echo more >> out/file
            - touch ../beside
            - mkdir -p kept && echo more >> kept/file
            - echo new > untracked
          cache: {{key: k, paths: [kept/], policy: pull-push}}
          artifacts: {{untracked: true}}
        last:
          stage: deploy
          image: steveazz/noroot-alpine
          dependencies: [use]
          script:
            - cat untracked
            - stat -c 'artifact %u %a' untracked
            - echo more >> untracked
    """)
    )
    assert ran.code == 0, ran
    lines = ran.trace("use").splitlines()
    for expected in ("project 1000 755", "sources 1000 644", "artifact 1000 644"):
        assert expected in lines, ran
    assert "artifact 1000 644" in ran.trace("last").splitlines()


def test_the_entrypoint_of_the_job_runs_before_its_script(project: Project, run: Run) -> None:
    ran = run(
        project("""
        job:
          variables:
            FF_KUBERNETES_HONOR_ENTRYPOINT: "true"
          image:
            name: alpine
            entrypoint:
              - /bin/sh
              - -c
              - 'echo "prepared for $CI_PROJECT_NAME"; export PREPARED=yes; exec "$@"'
              - entrypoint
          script: ['echo "prepared: $PREPARED"']
        never:
          variables:
            FF_KUBERNETES_HONOR_ENTRYPOINT: "true"
          image:
            name: alpine
            entrypoint: [/bin/false]
          script: ["true"]
    """)
    )
    assert ran.code == 1, ran
    trace = ran.trace("job")
    assert "prepared for " in trace
    assert "prepared: yes\n" in trace
    assert ran.jobs["job"]["status"] == "success", ran
    assert ran.jobs["never"]["status"] == "failed"
    said = r"the entrypoint of image alpine\S* did not run the command"
    assert re.search(said, ran.trace("never")), ran
