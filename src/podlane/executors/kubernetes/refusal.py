"""Why a job cannot run here at all."""

from __future__ import annotations

from podlane.kit.errors import PermanentError


class PlanError(PermanentError):
    """The job cannot run with these settings; the user or the administrator must change one."""
