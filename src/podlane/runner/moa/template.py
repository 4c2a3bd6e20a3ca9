"""A text with expressions in it to the text that it stands for."""

from __future__ import annotations

from podlane.runner.moa import values
from podlane.runner.moa.errors import SensitiveError
from podlane.runner.moa.evaluate import Scope
from podlane.runner.moa.parser import parse_template
from podlane.runner.moa.tokens import OPEN


def expand(text: str, scope: Scope) -> tuple[str, bool]:
    """Return the text, and whether there was an expression in it.

    Raises:
        MoaError: it cannot be read, has no value, or would show what is sensitive.
    """
    if OPEN not in text:
        return text, False
    template = parse_template(text)
    value = scope.evaluate(template)
    if value.sensitive:
        raise SensitiveError
    return values.text(value.plain), template.expressions > 0
