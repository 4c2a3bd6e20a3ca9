"""Write docs/reference/keywords.md from the compiler's table; a test sees that it is current."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from podlane.compiler.keywords.table import KEYWORDS, Keyword

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "keywords.md"
HEAD = """# Keywords of .gitlab-ci.yml

Written from `src/podlane/compiler/keywords/table.py` by `python scripts/keywords_reference.py`;
change the table, not this page.

- **supported**: compiled as GitLab compiles it, and honoured when the job runs
- **partial**: compiled as GitLab compiles it; the note says what a run leaves out
- **refused**: checked as GitLab checks it; `podlane run` refuses to run a job with it, with its place
  and the reason, unless `--allow-unsupported` is given

A keyword that is not here is unknown to GitLab too, and an error.
"""
TITLES = {
    "header": "Header keywords",
    "global": "Global keywords",
    "job": "Job keywords",
}


def render() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for scope, title in TITLES.items():
        yield f"## {title}"
        yield ""
        yield "| keyword | status | note |"
        yield "| --- | --- | --- |"
        listed = [keyword for keyword in KEYWORDS if keyword.scope == scope]
        yield from (_row(keyword) for keyword in sorted(listed, key=lambda keyword: keyword.name))
        yield ""


def _row(keyword: Keyword) -> str:
    return f"| `{keyword.name}` | {keyword.status} | {keyword.note} |"


if __name__ == "__main__":
    PAGE.write_text(render())
