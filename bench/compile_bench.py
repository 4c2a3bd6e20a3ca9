"""The compiler on generated configurations: many includes, jobs, extends, references, rules, needs."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.fakes.files import MemoryFetcher

from bench.commands import podlane
from bench.figures import HEAD, Figure
from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context

STAGES = ("build", "test", "scan", "package", "deploy")


def generate(jobs: int, files: int) -> dict[str, str]:
    """Return a configuration with ``jobs`` jobs over ``files`` included files."""
    per_file = -(-jobs // files)
    found = {".gitlab-ci.yml": _root(files)}
    number = 0
    for index in range(files):
        lines = [f".template-{index}:", "  extends: .base", "  variables:"]
        lines += [f"    FILE_{index}_{n}: value-{n}" for n in range(4)]
        lines += ["  before_script:", "    - !reference [.setup, script]", "    - echo ready"]
        for _ in range(min(per_file, jobs - number)):
            lines += _job(index, number)
            number += 1
        found[f"ci/part-{index}.yml"] = "\n".join(lines) + "\n"
    return found


def _root(files: int) -> str:
    lines = ["include:", *(f"  - local: ci/part-{index}.yml" for index in range(files))]
    lines += ["stages:", *(f"  - {stage}" for stage in STAGES)]
    lines += ["variables:", *(f"  GLOBAL_{n}: value-{n}" for n in range(20))]
    lines += [".setup:", "  script:", "    - echo setup", "    - export A=1"]
    lines += [".level-0:", "  tags: [linux]", "  retry: 1"]
    for level in range(1, 6):
        lines += [
            f".level-{level}:",
            f"  extends: .level-{level - 1}",
            "  variables:",
            f"    LEVEL: '{level}'",
        ]
    lines += [
        ".base:",
        "  extends: .level-5",
        "  image: alpine:3",
        "  cache:",
        "    key: $CI_COMMIT_REF_SLUG",
    ]
    lines += [
        "    paths: [node_modules/, .cache/]",
        "  artifacts:",
        "    paths: [out/]",
        "    expire_in: 1 week",
    ]
    return "\n".join(lines) + "\n"


def _job(file: int, number: int) -> list[str]:
    stage = STAGES[number % len(STAGES)]
    lines = [f"job-{number}:", f"  extends: .template-{file}", f"  stage: {stage}"]
    if number % len(STAGES):
        lines += ["  needs:", f"    - job-{number - 1}"]
    lines += ["  variables:", f"    NUMBER: '{number}'", "    KIND: fast"]
    lines += ["  script:", f"    - echo {number}", "    - make test", "    - make report"]
    lines += ["  rules:", "    - if: $CI_PIPELINE_SOURCE == 'schedule'", "      when: never"]
    lines += ["    - if: $CI_COMMIT_BRANCH =~ /^main/ && $KIND == 'fast'"]
    lines += ["    - changes:", f"        - src/part-{file}/**/*"]
    return lines


def figures(runs: int) -> list[Figure]:
    """Return all figures of the compiler."""
    small = {
        ".gitlab-ci.yml": "".join(
            f"j{n}:\n  script: echo\n  rules: [{{if: $CI}}]\n  stage: test\n" for n in range(5)
        )
    }
    return [
        _command("`podlane list`, 420 jobs, 60 includes", 0.45, generate(420, 60), ("list",), runs),
        _command(
            "`podlane list`, 1,620 jobs, 140 includes", 1.4, generate(1620, 140), ("list",), runs
        ),
        _command("`podlane lint`, 20 lines", 0.25, small, ("lint",), runs),
        _growth(),
    ]


def _command(
    name: str, bar: float, files: dict[str, str], arguments: tuple[str, ...], runs: int
) -> Figure:
    samples = []
    with tempfile.TemporaryDirectory() as where:
        for path, text in files.items():
            (Path(where) / path).parent.mkdir(exist_ok=True)
            (Path(where) / path).write_text(text)
        for _ in range(runs + 1):
            begin = time.perf_counter()
            podlane(*arguments, cwd=Path(where))
            samples.append(time.perf_counter() - begin)
    lines = sum(text.count("\n") for text in files.values())
    return Figure(
        name=name,
        unit="s",
        bar=bar,
        samples=tuple(samples[1:]),
        note=f"{lines:,} lines, cold process",
    )


def _growth() -> Figure:
    """How much longer 1,600 jobs take than 100: sixteen times is linear."""
    small, large = generate(100, 14), generate(1600, 140)
    ratios = []
    for _ in range(5):
        few = statistics.median(_seconds(small) for _ in range(5))
        ratios.append(_seconds(large) / few)
    return Figure(
        name="compile, 1,600 jobs against 100",
        unit="x",
        bar=18,
        samples=tuple(ratios),
        note="16 is linear",
    )


def _seconds(files: dict[str, str]) -> float:
    fetcher = MemoryFetcher(files, {None: ["README.md"]})
    begin = time.perf_counter()
    compilation = compile_pipeline(".gitlab-ci.yml", fetcher, Context())
    took = time.perf_counter() - begin
    assert compilation.pipeline is not None, compilation.diagnostics[:3]
    return took


def main() -> int:
    """Print the table of the compiler alone."""
    found = figures(10)
    print("\n".join([HEAD, *(figure.row() for figure in found)]))
    return 0 if all(figure.met for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
