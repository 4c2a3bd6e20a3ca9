"""Artifacts reach the next job; services answer on their alias; only two images are in play."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Project, Run

pytestmark = pytest.mark.e2e


def test_artifacts_of_one_job_reach_the_next(project: Project, run: Run) -> None:
    ran = run(
        project("""
        make:
          stage: build
          image: alpine
          script:
            - mkdir -p out/deep
            - echo payload > out/deep/file.txt
            - echo secret > out/skip.log
          artifacts:
            paths: [out/]
            exclude: [out/*.log]
        use:
          stage: test
          image: steveazz/noroot-alpine
          script:
            - cat out/deep/file.txt
            - test ! -e out/skip.log
        without:
          stage: test
          image: alpine
          dependencies: []
          script: [test ! -e out]
    """)
    )
    assert ran.code == 0, ran
    assert "payload" in ran.trace("use")


def test_a_service_answers_on_its_alias(project: Project, run: Run) -> None:
    ran = run(
        project("""
        asks:
          image: alpine
          services:
            - name: alpine
              alias: greeter
              entrypoint: [sh, -c]
              command:
                - >-
                  mkdir -p /www && echo hello from the service > /www/index.html &&
                  exec busybox httpd -f -p 8080 -h /www
          script:
            - until wget -q -O - http://greeter:8080/; do sleep 0.2; done
    """)
    )
    assert ran.code == 0, ran
    assert "hello from the service" in ran.trace("asks")


def test_needs_run_as_soon_as_they_can(project: Project, run: Run) -> None:
    ran = run(
        project("""
        first:
          stage: build
          image: alpine
          script: [echo one > one.txt]
          artifacts: {paths: [one.txt]}
        second:
          stage: deploy
          image: alpine
          needs: [first]
          script: [cat one.txt]
        unrelated:
          stage: test
          image: alpine
          script: ["false"]
    """),
        "second",
    )
    assert ran.code == 0, ran
    assert set(ran.jobs) == {"first", "second"}


def test_the_working_tree_is_used_as_it_is_and_left_as_it_was(project: Project, run: Run) -> None:
    folder = project("""
        look:
          image: alpine
          script:
            - cat untracked.txt
            - echo changed > untracked.txt
            - touch new.txt
    """)
    (folder / "untracked.txt").write_text("not committed\n")
    before = sorted(path.name for path in folder.iterdir())
    ran = run(folder)
    assert ran.code == 0, ran
    assert "not committed" in ran.trace("look")
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "untracked.txt").read_text() == "not committed\n"


def test_the_coverage_of_a_job_is_in_its_result(project: Project, run: Run) -> None:
    ran = run(
        project("""
        unit:
          stage: build
          image: alpine
          variables: {FF_TIMESTAMPS: "true"}
          coverage: '/^TOTAL.* (\\d+\\.\\d+)%$/'
          script:
            - echo "TOTAL 10 12.5%"
            - echo "TOTAL 20 98.29%"
        none:
          stage: build
          image: alpine
          coverage: '/never (\\d+)/'
          script: [echo nothing]
    """)
    )
    assert ran.code == 0, ran
    assert ran.jobs["unit"]["coverage"] == 98.29
    assert "coverage" not in ran.jobs["none"]
