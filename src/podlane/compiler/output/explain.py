"""Why a job is as it is: its rules with their operands, and where each of its keywords came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from podlane.compiler.output.compilation import Compilation
from podlane.compiler.output.present import at, outcome
from podlane.compiler.selection.decide import Decision
from podlane.compiler.source import Map, Mark, Scalar, Seq, text_of
from podlane.kit.jsonvalue import Json, JsonObject

_Marks = tuple[Mark | None, Mark | None]
_MAPS = ("variables", "artifacts", "cache", "environment", "image")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a keyword was written; ``via`` is how the job came to it, nearest first."""

    keyword: str
    place: str
    via: tuple[str, ...]


def explain_job(compilation: Compilation, name: str) -> JsonObject | None:
    """Return everything about a job, in or out of the pipeline; None if there is no such job."""
    decision = compilation.decisions.get(name)
    if decision is None:
        return None
    found: JsonObject = {
        "job": name,
        "included": decision.included,
        "reason": decision.reason or None,
        "when": str(decision.when) if decision.included else None,
        "rules_outcome": outcome(decision.match) if decision.match is not None else None,
        "variables": {variable.key: variable.value for variable in decision.variables},
    }
    listed: list[Json] = [
        {"keyword": origin.keyword, "at": origin.place, "via": list(origin.via)}
        for origin in origins(compilation, decision)
    ]
    found["origins"] = listed
    keys = cache_keys(compilation, name)
    if keys:
        found["cache_keys"] = [list(one) for one in keys]
    return found


def explain_text(compilation: Compilation, name: str) -> list[str]:
    """Return the explanation of a job as lines for people; empty if there is no such job."""
    decision = compilation.decisions.get(name)
    if decision is None:
        return []
    lines = [f"{name}: in the pipeline, when: {decision.when}"]
    if not decision.included:
        lines = [f"{name}: not in the pipeline: {decision.reason}"]
    lines += _rule_lines(decision)
    lines.append("where its keywords came from:")
    origin_list = list(origins(compilation, decision))
    width = max((len(origin.keyword) for origin in origin_list), default=0)
    for origin in origin_list:
        via = f"  ({', '.join(origin.via)})" if origin.via else ""
        lines.append(f"  {origin.keyword:<{width}}  {origin.place}{via}")
    keys = cache_keys(compilation, name)
    if keys:
        lines.append("its cache keys, before -protected or -non_protected is put behind them:")
        lines += [f"  {', else '.join(one)}" for one in keys]
    return lines


def cache_keys(compilation: Compilation, name: str) -> list[tuple[str, ...]]:
    """Return the keys of each cache of a job that is in the pipeline, in the order they are tried."""
    jobs = compilation.pipeline.jobs if compilation.pipeline is not None else ()
    caches = next((job.cache for job in jobs if job.name == name), ())
    return [(cache.key, *(cache.fallback_keys or ())) for cache in caches]


def _rule_lines(decision: Decision) -> Iterator[str]:
    match = decision.match
    if match is None:
        return
    yield "rules, in order:"
    for trace in match.trace:
        sign = "✓" if trace.matched else "✗"
        yield f"  {sign} {at(trace.rule.at)}"
        for clause in trace.clauses:
            held = "holds" if clause.held else "does not hold"
            note = f" ({clause.note})" if clause.note else ""
            yield f"      {clause.keyword}: {clause.text}  → {held}{note}"
            for operand, value in clause.operands:
                yield f"        ${operand} = {'undefined' if value is None else repr(value)}"
        if not trace.clauses:
            yield "      no clause: always holds"
    if match.rule is None:
        yield "  no rule holds, so the job is left out"


def origins(compilation: Compilation, decision: Decision) -> Iterator[Origin]:
    """Yield where each keyword of a job was written; maps key by key."""
    written = decision.job.written
    for key in written:
        marks = written.marks.get(key)
        name = text_of(key)
        value = written[key]
        if isinstance(value, Map) and name in _MAPS:
            for inner in value:
                found = _origin(
                    compilation, decision.job.group, (key, inner), value.marks.get(inner)
                )
                yield Origin(f"{name}:{text_of(inner)}", *found)
        else:
            yield Origin(name, *_origin(compilation, decision.job.group, (key,), marks))


def _origin(
    compilation: Compilation, job: str, path: tuple[Scalar, ...], marks: _Marks | None
) -> tuple[str, tuple[str, ...]]:
    if marks is None:
        return "", ()
    shown = at(marks[0]) or ""
    tree = compilation.tree
    if tree is None:
        return shown, ()
    via = _trail(tree, job, path, marks, frozenset())
    if via is None:
        via = _default(tree, path, marks)
    if via is None:
        via = ()
    mark = marks[0]
    main = compilation.main_file
    if mark is not None and mark.name != main:
        via = (*via, f"include {mark.name}")
    return shown, via


def _trail(
    tree: Map, name: str, path: tuple[Scalar, ...], marks: _Marks, seen: frozenset[str]
) -> tuple[str, ...] | None:
    """Return the bases between an entry and what was written, or None if it is not there."""
    entry = tree.get(name)
    if not isinstance(entry, Map) or name in seen:
        return None
    if _holds(entry, path, marks):
        anchor = _anchor(tree, name, path, marks)
        return (f"anchor in {anchor}",) if anchor else ()
    bases = entry.get("extends")
    for base in reversed(list(bases) if isinstance(bases, Seq) else [bases]):
        if isinstance(base, str):
            found = _trail(tree, base, path, marks, seen | {name})
            if found is not None:
                return (f"extends {base}", *found)
    return None


def _holds(entry: Map, path: tuple[Scalar, ...], marks: _Marks) -> bool:
    for key in path[:-1]:
        inner = entry.get(key)
        if not isinstance(inner, Map):
            return False
        entry = inner
    return entry.marks.get(path[-1]) is marks


def _anchor(tree: Map, name: str, path: tuple[Scalar, ...], marks: _Marks) -> str | None:
    """Return the other entry that holds the same text, if this one took it by a merge key."""
    mark = marks[0]
    own = tree.marks.get(name)
    if mark is None or own is None or own[0] is None:
        return None
    for key, value in tree.items():
        if key != name and isinstance(value, Map) and _holds(value, path, marks):
            other = tree.key_at(key)
            if (
                other is not None
                and own[0].line > other.line
                and other.line <= mark.line < own[0].line
            ):
                return text_of(key)
    return None


def _default(tree: Map, path: tuple[Scalar, ...], marks: _Marks) -> tuple[str, ...] | None:
    default = tree.get("default")
    if isinstance(default, Map) and _holds(default, path, marks):
        return ("default",)
    if _holds(tree, path, marks):
        return ("global keyword",)
    return None
