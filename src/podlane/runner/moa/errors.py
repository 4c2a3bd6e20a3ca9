"""What can be wrong with an expression."""

from __future__ import annotations


class MoaError(Exception):
    """The base; the sentence is for the author of the job."""

    kind = ""


class ParseError(MoaError):
    """The text is no expression; ``at`` counts characters from 1."""

    kind = "parse"

    def __init__(self, message: str, at: int) -> None:
        super().__init__(f"{message} at character {at}")


class EvaluationError(MoaError):
    """The expression has no value."""

    kind = "evaluation"


class SensitiveError(MoaError):
    """A sensitive value would become visible."""

    kind = "sensitive_unsupported"

    def __init__(self) -> None:
        super().__init__("sensitive inputs are unsupported in interpolations yet")
