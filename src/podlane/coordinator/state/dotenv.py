"""Variables that a job hands to later jobs by ``artifacts:reports:dotenv``.

Source: GitLab's ``Ci::ParseDotenvArtifactService``: one ``KEY=value`` per line, nothing is unquoted or
expanded. Lines that are blank or start with ``#``, which GitLab refuses, are skipped.
"""

from __future__ import annotations

import gzip
import io
import re

from podlane.model.job import Variable

MAX_BYTES = 5 * 1024
MAX_VARIABLES = 150
_LINE = re.compile(r"(.*?)=(.*)")
_KEY = re.compile(r"[A-Za-z0-9_]+")


def parse(raw: bytes) -> tuple[Variable, ...]:
    """Return the variables of an uploaded report, compressed or not.

    Raises:
        ValueError: it is no dotenv file, or too large; the text says why.
    """
    text = _text(raw)
    variables: dict[str, Variable] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        key = match[1].strip() if match else ""
        if match is None or not _KEY.fullmatch(key):
            raise ValueError(f"not a line of a dotenv file: {line[:20]!r}")
        variables[key] = Variable(key=key, value=match[2].strip())
    if len(variables) > MAX_VARIABLES:
        raise ValueError(f"a dotenv report may have {MAX_VARIABLES} variables")
    return tuple(variables.values())


def _text(raw: bytes) -> str:
    if raw.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(io.BytesIO(raw)) as file:
                raw = file.read(MAX_BYTES + 1)
        except (OSError, EOFError) as error:
            raise ValueError(f"the dotenv report is damaged: {error}") from error
    if len(raw) > MAX_BYTES:
        raise ValueError(f"a dotenv report may have {MAX_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError("a dotenv report must be UTF-8") from error
