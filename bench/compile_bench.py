"""Time the compiler on generated configurations: many includes, jobs, extends, references, rules, needs.

    python bench/compile_bench.py [JOBS ...]

Prints one line per size: jobs, lines, files, seconds of the compile itself (median of five).
"""

from __future__ import annotations

import statistics
import sys
import time

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context, MemoryFetcher

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


def main(sizes: list[int]) -> None:
    """Print the table."""
    for jobs in sizes:
        files = generate(jobs, max(1, min(140, jobs // 7)))
        fetcher = MemoryFetcher(files, {None: ["README.md"]})
        times = []
        for _ in range(5):
            started = time.perf_counter()
            compilation = compile_pipeline(".gitlab-ci.yml", fetcher, Context())
            times.append(time.perf_counter() - started)
        assert compilation.pipeline is not None, compilation.diagnostics[:3]
        lines = sum(text.count("\n") for text in files.values())
        print(
            f"{jobs:>6} jobs {lines:>7} lines {len(files):>4} files {statistics.median(times):.3f} s"
        )


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [100, 420, 1000, 1600])
