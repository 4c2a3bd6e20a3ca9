"""Streaming masking of secrets in a trace (runner-protocol 4.5).

Three filters in a row: phrases (values of masked variables), URL parameters, tokens by prefix. Each
holds back only the end of its input that can still become a match; whatever the chunks, the bytes
are the same. All secrets are known when the job starts, so a filter never changes on its way.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

MASK = b"[MASKED]"
URL_PARAMETERS = (
    "private_token",
    "authenticity_token",
    "rss_token",
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
)
ALWAYS_MASKED_PREFIXES = ("glpat-",)
DEFAULT_PREFIXES = (
    *ALWAYS_MASKED_PREFIXES, "gloas-", "gldt-", "glrt-", "glcbt-", "glrtr-", "glptt-", "glft-",
    "glimt-", "glagent-", "glsoat-", "glffct-", "_gitlab_session=", "gltok-",
)  # fmt: skip
_NEAR = 64  # bytes at the end of a chunk in which every position is looked at
_HEAD = 8  # bytes by which longer needles are found before that
MAX_PREFIXES = 15  # GitLab Runner uses the shortest fifteen
_URL_VALUE = re.compile(rb"[^?&\s\x00-\x1f\x7f]*")
_TOKEN_VALUE = re.compile(rb"[0-9A-Za-z\-._=]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one filter keeps between two chunks; ``data`` may be the beginning of a secret."""

    data: bytes = b""
    armed: bool = False
    inside: bool = False


class _Needles:
    """What to look for: finds complete needles, and where an incomplete one may begin."""

    def __init__(self, needles: Iterable[bytes], kind: MatchKind) -> None:
        patterns = list(needles)
        self._finder = BytesAhoCorasick(patterns, kind, Implementation.DFA)
        self._sorted = sorted(patterns)
        self._longest = max(map(len, patterns))
        firsts = b"".join(re.escape(bytes([c])) for c in sorted({p[0] for p in patterns}))
        self._first = re.compile(b"[" + firsts + b"]")
        heads = {p[:_HEAD] for p in patterns if len(p) > _NEAR}
        self._heads = BytesAhoCorasick(sorted(heads), MatchKind.Standard) if heads else None

    def find(self, text: bytes) -> list[tuple[int, int, int]]:
        """Return (needle, start, end) of all matches, leftmost first, not overlapping."""
        found: list[tuple[int, int, int]] = self._finder.find_matches_as_indexes(text)
        return found

    def open_end(self, text: bytes, start: int) -> int:
        """Return the first position, not before ``start``, from which the rest may be a beginning."""
        near = max(start, len(text) - _NEAR)
        far = max(start, len(text) - self._longest + 1)
        if self._heads is not None and far < near:
            region = text[far : near + _HEAD - 1]
            for _, begin, _ in self._heads.find_matches_as_indexes(region, overlapping=True):
                if self._is_beginning(text[far + begin :]):
                    return far + int(begin)
        for match in self._first.finditer(text, max(near, far)):
            if self._is_beginning(text[match.start() :]):
                return match.start()
        return len(text)

    def _is_beginning(self, rest: bytes) -> bool:
        index = bisect_left(self._sorted, rest)
        if index < len(self._sorted) and self._sorted[index] == rest:
            index += 1
        return index < len(self._sorted) and self._sorted[index].startswith(rest)


@lru_cache(maxsize=16)
def _markers(markers: tuple[str, ...]) -> _Needles:
    """Return the tables for markers; they are large and the same for most jobs."""
    return _Needles((marker.encode() for marker in markers), MatchKind.LeftmostFirst)


class PhraseFilter:
    """Replace every phrase, leftmost and then longest, by the mask."""

    def __init__(self, phrases: Iterable[str]) -> None:
        wanted = dict.fromkeys(p.strip().encode() for p in phrases)
        wanted.pop(b"", None)
        self._needles = _Needles(wanted, MatchKind.LeftmostLongest) if wanted else None
        self._held = b""

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        """Return what is certain; ``final`` gives up the held end too."""
        needles = self._needles
        if needles is None:
            return data
        text = self._held + data
        matches = needles.find(text)
        limit = len(text) if final else needles.open_end(text, 0)
        if not matches and limit == len(text):
            self._held = b""
            return text
        out: list[bytes] = []
        position = 0
        for _, start, end in matches:
            if start >= limit:
                break
            out += (text[position:start], MASK)
            position = end
            if end > limit:
                limit = needles.open_end(text, end)
        out.append(text[position:limit])
        self._held = text[limit:]
        return b"".join(out)

    @property
    def held(self) -> Held:
        """What is kept; may be set on a new filter of the same phrases."""
        return Held(data=self._held)

    @held.setter
    def held(self, held: Held) -> None:
        self._held = held.data


class MarkerFilter:
    """Replace what follows a marker, as far as ``value`` reaches, by the mask.

    ``masks_empty``: a marker alone is followed by a mask too.
    """

    def __init__(
        self, markers: Iterable[str], value: re.Pattern[bytes], *, masks_empty: bool
    ) -> None:
        self._needles = _markers(tuple(markers))
        self._value = value
        self._masks_empty = masks_empty
        self._held = b""
        self._armed = False  # a marker has just passed, its mask is not written yet
        self._inside = False  # the mask is written, the rest of the value is swallowed

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        """Return what is certain; ``final`` gives up the held end too."""
        text = self._held + data
        out: list[bytes] = []
        position = self._swallow(text, 0, out)
        folded = text.lower() if self._masks_empty else text
        limit = len(text) if final else self._needles.open_end(folded, position)
        pending = self._needles.find(folded)
        base, index = 0, 0
        while index < len(pending) and base + pending[index][1] < limit:
            start, end = base + pending[index][1], base + pending[index][2]
            index += 1
            if start < position < end:  # it began inside a value: look again behind that
                pending, base, index = self._needles.find(folded[position:]), position, 0
                continue
            if start < position:
                continue
            out.append(text[position:end])
            self._armed = True
            position = self._swallow(text, end, out)
            if position > limit:
                limit = len(text) if final else self._needles.open_end(folded, position)
        out.append(text[position:limit])
        self._held = text[limit:]
        return b"".join(out)

    @property
    def held(self) -> Held:
        """What is kept; may be set on a new filter of the same markers."""
        return Held(data=self._held, armed=self._armed, inside=self._inside)

    @held.setter
    def held(self, held: Held) -> None:
        self._held, self._armed, self._inside = held.data, held.armed, held.inside

    def _swallow(self, text: bytes, position: int, out: list[bytes]) -> int:
        if not (self._armed or self._inside):
            return position
        match = self._value.match(text, position)
        end = match.end() if match else position
        if self._armed and (self._masks_empty or end > position):
            out.append(MASK)
            self._armed, self._inside = False, True
        if end < len(text):
            self._armed = self._inside = False
        return end


class Masker:
    """The whole chain, for one job."""

    def __init__(
        self,
        phrases: Iterable[str] = (),
        *,
        token_prefixes: Iterable[str] = (),
        all_default_tokens: bool = True,
    ) -> None:
        defaults = DEFAULT_PREFIXES if all_default_tokens else ALWAYS_MASKED_PREFIXES
        prefixes = dict.fromkeys(p for p in (*defaults, *token_prefixes) if p)
        self._filters = (
            PhraseFilter(phrases),
            MarkerFilter(
                [f"{mark}{name}=" for mark in "?&" for name in URL_PARAMETERS],
                _URL_VALUE,
                masks_empty=True,
            ),
            MarkerFilter(sorted(prefixes, key=len)[:MAX_PREFIXES], _TOKEN_VALUE, masks_empty=False),
        )

    def feed(self, data: bytes) -> bytes:
        """Return the masked bytes that are certain after ``data``."""
        for stage in self._filters:
            data = stage.feed(data)
        return data

    @property
    def held(self) -> tuple[Held, ...]:
        """What is kept between two chunks, for :meth:`resume`."""
        return tuple(stage.held for stage in self._filters)

    def resume(self, held: Sequence[Held]) -> None:
        """Go on where another masker of the same secrets was; ``held`` may be empty."""
        if not held:
            return
        phrases, parameters, tokens = self._filters
        for stage, kept in zip((parameters, tokens), held[1:], strict=True):
            stage.held = kept
        phrases.held = held[0]

    def flush(self) -> bytes:
        """Return what was held back; the stream ends here."""
        data = b""
        for stage in self._filters:
            data = stage.feed(data, final=True)
        return data
