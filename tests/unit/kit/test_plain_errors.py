from __future__ import annotations

import pytest

from podlane.kit.tasks import plain_errors


def test_a_single_error_comes_out_of_its_groups() -> None:
    error = ValueError("one")
    with pytest.raises(ValueError, match="one"), plain_errors():
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [error])])


def test_several_errors_stay_together() -> None:
    with pytest.raises(ExceptionGroup), plain_errors():
        raise ExceptionGroup("both", [ValueError("one"), ValueError("two")])
