from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from podlane.kit import log


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger("podlane")
    before, level, propagate = list(root.handlers), root.level, root.propagate
    yield
    root.handlers[:] = before
    root.propagate = propagate
    root.setLevel(level)


def lines(log_format: str, level: str = "info") -> list[str]:
    sink = io.StringIO()
    log.configure(level=level, log_format=log_format, sink=sink)
    logger = logging.getLogger("podlane.test")
    with log.fields(project=3, job=7):
        log.event(logger, logging.INFO, "job_started", job_name="a b")
        log.event(logger, logging.DEBUG, "request_answered")
        log.event(logger, logging.ERROR, "job_lost", count=1)
    return sink.getvalue().splitlines()


def test_the_format_of_gitlab_runner_pads_the_message_and_sorts_the_fields() -> None:
    assert lines("runner") == [
        f'{"job_started":<50} job=7 job_name="a b" project=3',
        f"ERROR: {'job_lost':<50} count=1 job=7 project=3",
    ]


def test_text_has_stamp_and_level() -> None:
    stamp, level, rest = lines("text")[0].split(maxsplit=2)
    assert stamp.endswith("+00:00")
    assert level == "INFO"
    assert rest.split(maxsplit=1)[1] == 'project=3 job=7 job_name="a b"'


def test_json_has_the_fields_of_job_and_project() -> None:
    first = json.loads(lines("json")[0])
    del first["time"]
    assert first == {
        "level": "info", "msg": "job_started", "project": 3, "job": 7, "job_name": "a b",
    }  # fmt: skip


def test_the_level_decides_and_may_change() -> None:
    assert len(lines("text", "error")) == 1
    assert len(lines("text", "debug")) == 3


def test_an_exception_is_told_in_full() -> None:
    for log_format in ("runner", "text", "json"):
        sink = io.StringIO()
        log.configure(log_format=log_format, sink=sink)
        try:
            int("odd")
        except ValueError:
            logging.getLogger("podlane.test").exception("job_crashed")
        assert "ValueError: invalid literal" in sink.getvalue()


def test_what_others_attached_to_the_log_stays() -> None:
    handler = logging.NullHandler()
    logging.getLogger("podlane").addHandler(handler)
    log.configure(sink=io.StringIO())
    assert handler in logging.getLogger("podlane").handlers
