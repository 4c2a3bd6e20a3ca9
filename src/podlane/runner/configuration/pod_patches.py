"""The patches of ``pod_spec`` when ``config.toml`` is read: whether they will do, and do anything.

Reads the files that they are in.
"""

from __future__ import annotations

from dataclasses import replace

from podlane.executors.kubernetes.planning.flags import PATCHES_FLAG
from podlane.executors.kubernetes.planning.patch_trial import patch_problems
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.runner.configuration import feature_flags
from podlane.runner.configuration.settings import RunnerSettings


def problems(runner: RunnerSettings, place: Place) -> list[Diagnostic]:
    """Return what is wrong with the patches beyond what the settings themselves show.

    Where no job of the runner gets them unless it asks, nothing is worse than a warning.
    """
    settings, found = decode_settings(runner.executor_table, place)
    if not settings.pod_spec:
        return []
    known = {each.message for each in found}
    wrong = [each for each in patch_problems(settings, place) if each.message not in known]
    flags = feature_flags.resolve(runner.feature_flags, runner.environment, timestamps=True)
    if flags[PATCHES_FLAG]:
        return wrong
    never = (PATCHES_FLAG, False) in runner.feature_flags
    whose = "has no effect" if never else "has no effect in jobs that do not set the flag"
    idle = Diagnostic(
        code="setting-without-effect",
        message=f"runners.kubernetes.pod_spec: {whose}: {PATCHES_FLAG} is off",
        place=place,
        severity=Severity.WARNING,
        hint=f"add {PATCHES_FLAG} = true to [runners.feature_flags]",
    )
    return [idle, *(replace(each, severity=Severity.WARNING) for each in wrong)]
