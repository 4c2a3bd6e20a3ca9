"""The follower's two channels to events, in the order in which things happened. Pure.

stdout is the spool's bytes; stderr brings records with byte offsets. Bytes are let go only when the
follower says that every record in front of them has been printed (``pos=``), so that a section
starts exactly where its stage's output starts, whichever channel is faster. A broken stream loses
only what was not let go yet: :meth:`Trail.restart`, and read again from :attr:`Trail.position`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from podlane.executors.base import (
    Event,
    Level,
    Message,
    Output,
    Progress,
    StageFinished,
    StageStarted,
)
from podlane.executors.kubernetes.outcome.stageflow import StageEnd
from podlane.model.substages import SubStage

_STDOUT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    offset: int
    index: int
    started: bool
    at: float
    end: StageEnd | None = None


class Trail:
    """What one job has told so far. ``ends`` are the records by stage, ``done`` the last word.

    ``entered`` are the containers whose images' entrypoints have come to our supervisors.

    ``told``: what an earlier process has told already; its records are read again, and not told again.
    """

    def __init__(
        self,
        stages: Sequence[SubStage],
        opened: SubStage | None = None,
        told: Progress | None = None,
    ) -> None:
        told = told or Progress()
        self._stages = tuple(stages)
        self._opened = None if told.records else opened
        self._running: SubStage | None = opened
        self._held = bytearray()
        self._pending: list[_Record] = []
        self._seen: set[tuple[int, bool]] = set()
        self._told = dict.fromkeys(told.records)
        self._line = b""
        self.position = self._goal = told.position
        self.started: set[int] = set()
        self.ends: dict[int, StageEnd] = {}
        self.entered: set[str] = set()
        self.done: str | None = None
        self.missing = ""
        self.lost = ""
        for record in told.records:
            substage = self._stages[record // 2]
            if record % 2 == 0:
                self._running = substage
            elif self._running == substage:
                self._running = None

    @property
    def progress(self) -> Progress:
        """What has been told, the event that was yielded last included."""
        return Progress(position=self.position, records=tuple(self._told))

    def restart(self) -> None:
        """Forget what a broken stream brought and was not let go, its last word included."""
        self.done = None
        self.missing = ""
        self._held.clear()
        self._line = b""
        self._goal = self.position
        self._seen -= {(record.index, record.started) for record in self._pending}
        self._pending.clear()

    def feed(self, channel: int, data: bytes) -> Iterator[Event]:
        """Take what the follower printed and yield the events that are complete now.

        Take all of them: each counts as told from the moment it is yielded.
        """
        if channel == _STDOUT:
            self._held += data
            yield from self._release()
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            yield from self._take(line.decode("utf-8", "replace"))

    def close(self, at: float) -> Iterator[Event]:
        """Yield the events still held back, and the end of a stage that nobody reported."""
        yield from self._fire(None)
        yield from self._end_running(at)

    @property
    def running(self) -> SubStage | None:
        """The sub-stage whose section is open."""
        return self._running

    def is_complete(self) -> bool:
        """Whether the follower said its last word and all bytes before it were let go."""
        return self.done is not None and self.position >= self._goal

    def _end_running(self, at: float) -> list[Event]:
        running, self._running = self._running, None
        return [] if running is None else [StageFinished(substage=running, exit_code=None, at=at)]

    def _take(self, line: str) -> Iterator[Event]:
        fields = dict(word.partition("=")[::2] for word in line.split())
        if "stage" in fields:
            self._record(fields)
        elif "pos" in fields:
            self._goal = max(self._goal, _number(fields["pos"]))
        elif "truncated" in fields:
            yield from self._truncated()
            return
        elif "done" in fields:
            self.done = fields["done"]
        elif "missing" in fields:
            self.done, self.missing = "unknown", fields["missing"]
        elif "entered" in fields:
            self.entered.add(fields["entered"])
        elif "lost" in fields:
            self.lost = fields["lost"]
        yield from self._release()

    def _record(self, fields: dict[str, str]) -> None:
        index, state = _number(fields.get("index", "")), fields.get("state", "")
        started = state == "started"
        known = 0 <= index < len(self._stages)
        if not known or (index, started) in self._seen:
            return
        self._seen.add((index, started))
        code = fields.get("code", "-")
        end = None if started else StageEnd(state=state, exit_code=_code(code))
        record = _Record(
            offset=_number(fields.get("offset", "")),
            index=index,
            started=started,
            at=_stamp(fields.get("at", "")),
            end=end,
        )
        self._pending.append(record)

    def _truncated(self) -> Iterator[Event]:
        self._held.clear()
        yield from self._fire(None)
        self.position = self._goal = 0
        text = "the job shortened its own log file; what it printed before may be incomplete"
        yield Message(text=text, level=Level.WARNING)

    def _release(self) -> Iterator[Event]:
        limit = min(self._goal, self.position + len(self._held))
        while True:
            yield from self._fire(self.position)
            if self.position >= limit:
                return
            offset = self._pending[0].offset if self._pending else limit
            size = min(limit, offset) - self.position
            data = bytes(self._held[:size])
            del self._held[:size]
            self.position += size
            yield Output(data=data)

    def _fire(self, position: int | None) -> Iterator[Event]:
        """Yield the events of records at or before ``position`` (None: of all)."""
        while self._pending and (position is None or self._pending[0].offset <= position):
            yield from self._event(self._pending.pop(0))

    def _event(self, record: _Record) -> list[Event]:
        substage = self._stages[record.index]
        number = 2 * record.index + (record.end is not None)
        again, self._told[number] = number in self._told, None
        if record.end is None:
            self.started.add(record.index)
            already, self._opened = self._opened, None
            if already == substage or again:
                return []
            events = self._end_running(record.at)
            self._running = substage
            return [*events, StageStarted(substage=substage, at=record.at)]
        self.ends[record.index] = record.end
        if again:
            return []
        if record.end.state == "skipped":
            return []
        if self._running == substage:
            self._running = None
        return [StageFinished(substage=substage, exit_code=record.end.exit_code, at=record.at)]


def _number(raw: str) -> int:
    return int(raw) if raw.isdigit() else -1


def _code(raw: str) -> int | None:
    return int(raw) if raw.lstrip("-").isdigit() else None


def _stamp(raw: str) -> float:
    try:
        return float(raw)
    except ValueError:
        return 0.0
