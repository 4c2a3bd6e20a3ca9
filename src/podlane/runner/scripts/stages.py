"""The short sub-stages: prepare_script, the user's steps, after_script."""

from __future__ import annotations

from podlane.model.job import Step
from podlane.runner.scripts import bash, git, ownership
from podlane.runner.scripts.bash import ENV_FILE
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import ScriptWriter, quote


def prepare_script(context: ScriptContext) -> str:
    """Say where the job runs, and write the file variables for all later sub-stages."""
    writer = ScriptWriter()
    temp = quote(context.temp_dir)
    writer.line(f"[ -d {temp} ] || mkdir -p {temp}")
    writer.line(f": >{quote(f'{context.temp_dir}/{ENV_FILE}')}")
    for variable in context.variables.effective:
        if variable.file:
            path = context.variables.file_path(variable.key)
            writer.line(f"printf '%s' {quote(variable.value)} >{quote(path)}")
    writer.line(
        "read -r podlane_host 2>/dev/null </proc/sys/kernel/hostname || podlane_host=$(hostname)"
    )
    writer.line(f"printf '%s\\n' \"Running on $podlane_host via \"{quote(context.host)}...")
    return bash.script(
        writer.text, preamble=ownership.preamble(context), xtrace=context.debug_trace
    )


def step(context: ScriptContext, step: Step) -> str:
    """Run one step of the job: the user's commands between the administrator's."""
    commands = step.script or ()
    if step.name == "release":
        commands = tuple(map(context.variables.expand, commands))
    writer = ScriptWriter()
    writer.line(bash.enter(context.project_dir))
    if before := context.runner.scripts.pre_build:
        bash.user_commands(writer, context, "pre_build_script", [before])
    bash.user_commands(writer, context, "script_step", commands)
    if after := context.runner.scripts.post_build:
        bash.user_commands(writer, context, "post_build_script", [after])
    return bash.script(writer.text, preamble=_user_preamble(context), xtrace=context.debug_trace)


def after_script(context: ScriptContext, step: Step) -> str:
    """Run ``after_script``, which sees how the job went in ``CI_JOB_STATUS``."""
    writer = ScriptWriter()
    writer.line(bash.enter(context.project_dir))
    writer.notice("Running after script...")
    bash.user_commands(writer, context, "after_script_step", step.script or ())
    preamble = [*_user_preamble(context), 'export CI_JOB_STATUS="$podlane_status"']
    return bash.script(writer.text, preamble=preamble, xtrace=context.debug_trace)


def _user_preamble(context: ScriptContext) -> list[str]:
    return [
        *bash.exports(context),
        *git.job_exports(context),
        *bash.job_environment(context),
        "unset podlane_line",
    ]
