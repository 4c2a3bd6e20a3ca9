"""The pipeline as a graph: text, Mermaid and SVG."""

from __future__ import annotations

from html import escape

from podlane.model.pipeline import Pipeline, PipelineJob

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN, _TITLE = 200, 34, 70, 12, 20, 28
_LONGEST = 26


def edges(pipeline: Pipeline) -> list[tuple[str, str]]:
    """Return what waits for what, as (earlier, later): needs, or the whole stage before."""
    order = {stage: index for index, stage in enumerate(pipeline.stages)}
    names = {job.name for job in pipeline.jobs}
    by_stage: dict[int, list[str]] = {}
    for job in pipeline.jobs:
        by_stage.setdefault(order[job.stage], []).append(job.name)
    found: list[tuple[str, str]] = []
    for job in pipeline.jobs:
        if job.needs is not None:
            found.extend((need.job, job.name) for need in job.needs if need.job in names)
            continue
        earlier = [index for index in by_stage if index < order[job.stage]]
        if earlier:
            found.extend((name, job.name) for name in by_stage[max(earlier)])
    return found


def as_text(pipeline: Pipeline) -> list[str]:
    """Return the graph as lines: stages, their jobs, and what each needs."""
    lines: list[str] = []
    for stage, jobs in _stages(pipeline):
        lines.append(stage)
        for index, job in enumerate(jobs):
            branch = "└─" if index == len(jobs) - 1 else "├─"
            lines.append(f"{branch} {job.name}{_note(job)}")
    return lines


def _note(job: PipelineJob) -> str:
    notes = []
    if job.needs is not None:
        notes.append("← " + (", ".join(need.job for need in job.needs) or "starts at once"))
    if job.when != "on_success":
        notes.append(f"[{job.when}]")
    if job.trigger is not None:
        notes.append(f"→ child pipeline of {', '.join(job.trigger.files)}")
    return "  " + " ".join(notes) if notes else ""


def as_mermaid(pipeline: Pipeline) -> list[str]:
    """Return the graph as a Mermaid flowchart."""
    ids = {job.name: f"j{index}" for index, job in enumerate(pipeline.jobs)}
    lines = ["flowchart LR"]
    for index, (stage, jobs) in enumerate(_stages(pipeline)):
        lines.append(f'  subgraph s{index}["{_quoted(stage)}"]')
        lines += [f"    {ids[job.name]}{_node(job)}" for job in jobs]
        lines.append("  end")
    lines += [f"  {ids[before]} --> {ids[after]}" for before, after in edges(pipeline)]
    return lines


def _node(job: PipelineJob) -> str:
    """Return a job's node; a bridge's has the frame that Mermaid gives to subroutines."""
    name = f'"{_quoted(job.name)}"'
    return f"[[{name}]]" if job.bridge else f"[{name}]"


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;")


def as_svg(pipeline: Pipeline) -> str:
    """Return the graph as an SVG image: a column for each stage, an arrow for each need."""
    columns = _stages(pipeline)
    places: dict[str, tuple[int, int]] = {}
    parts: list[str] = []
    for column, (stage, jobs) in enumerate(columns):
        x = _MARGIN + column * (_WIDTH + _GAP_X)
        parts.append(f'<text x="{x}" y="{_MARGIN + 12}" class="stage">{escape(stage)}</text>')
        for row, job in enumerate(jobs):
            y = _MARGIN + _TITLE + row * (_HEIGHT + _GAP_Y)
            places[job.name] = (x, y)
            parts.append(_box(job, x, y))
    tallest = max((len(jobs) for _, jobs in columns), default=0)
    width = 2 * _MARGIN + len(columns) * (_WIDTH + _GAP_X) - _GAP_X
    height = 2 * _MARGIN + _TITLE + tallest * (_HEIGHT + _GAP_Y)
    arrows = [_arrow(places[before], places[after]) for before, after in edges(pipeline)]
    return "\n".join([_head(max(width, 0), height), *arrows, *parts, "</svg>", ""])


def _head(width: int, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">\n'
        "<style>.stage{font-weight:bold}rect{fill:#fff;stroke:#868686;rx:6}"
        "path{fill:none;stroke:#6666c4;stroke-width:1.5}</style>\n"
        f'<rect width="{width}" height="{height}" style="stroke:none"/>'
    )


def _box(job: PipelineJob, x: int, y: int) -> str:
    name = job.name if len(job.name) <= _LONGEST else job.name[: _LONGEST - 1] + "…"
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}"/>'
        f'<text x="{x + 10}" y="{y + 22}">{escape(name)}'
        f"<title>{escape(job.name)}</title></text>"
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT // 2
    x2, y2 = end[0], end[1] + _HEIGHT // 2
    bend = _GAP_X // 2 if x2 > x1 else _GAP_X
    return f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"/>'


def _stages(pipeline: Pipeline) -> list[tuple[str, list[PipelineJob]]]:
    found: dict[str, list[PipelineJob]] = {stage: [] for stage in pipeline.stages}
    for job in pipeline.jobs:
        found[job.stage].append(job)
    return [(stage, jobs) for stage, jobs in found.items() if jobs]
