"""What can be wrong with an expression."""

from __future__ import annotations


class ExpressionError(ValueError):
    """The expression is not valid; GitLab's short sentence, and where in the text."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
