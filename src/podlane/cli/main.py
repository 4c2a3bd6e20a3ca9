"""The command line: the table of commands, and errors to exit codes.

Exit codes: 0 success, 1 the work failed, 2 bad usage or invalid configuration, 130 interrupted.
A command's module is imported when the command runs: ``podlane --help`` stays fast.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence

import click

from podlane.cli import output
from podlane.kit.errors import PodlaneError, UsageError

FAILED = 1
BAD_USAGE = 2
INTERRUPTED = 130

COMMANDS = {
    "run": "Run the pipeline of the current directory.",
    "list": "List the jobs of the pipeline.",
    "compile": "Print the compiled pipeline.",
    "lint": "Check the pipeline's configuration.",
    "explain": "Say why a job is as it is.",
    "graph": "Draw the pipeline.",
    "includes": "Included files from elsewhere: fetch, lock, vendor.",
    "doctor": "Say what is missing on this machine, and how to fix it.",
    "node": "The embedded node: a Kubernetes of one machine.",
    "coordinator": "The coordinator: a small GitLab for runners.",
    "runner": "The runner manager, for any GitLab.",
    "cancel": "Cancel a job or a pipeline of a coordinator.",
    "completion": "Print the completion script of a shell.",
    "version": "Print the version.",
}


class CommandTable(click.Group):
    """A group whose commands are imported on use, each from the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"podlane.cli.commands.{cmd_name}")
        command = module.command
        return command if isinstance(command, click.Command) else None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _show_version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        version = importlib.import_module("podlane.cli.commands.version")
        output.standard().out.line(version.line())
        context.exit()


@click.command(
    cls=CommandTable,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 success, 1 failed, 2 bad usage or configuration, 130 interrupted.",
)
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Print the version.",
)  # fmt: skip
def podlane() -> None:
    """GitLab CI jobs on Kubernetes.

    "podlane run" runs the .gitlab-ci.yml of the current directory in real pods: on this machine, or
    on the cluster of --kubeconfig or --context. "podlane runner run" takes jobs from a
    GitLab server and runs them in the same kind of pods.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; nothing escapes but the end of the process."""
    try:
        # click answers with a command's return value, and with the code of ctx.exit()
        result: object = podlane.main(
            args=None if args is None else list(args), prog_name="podlane", standalone_mode=False
        )
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        result = exit_code_of(error, output.standard())
    if args is None:  # a late Ctrl-C must not turn the exit code into death by a signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return result if isinstance(result, int) else 0


def exit_code_of(error: BaseException, out: output.Output) -> int:
    """Tell the user about ``error`` and return the exit code that it means."""
    known = [leaf for leaf in leaves(error) if isinstance(leaf, PodlaneError)]
    if known:
        out.error(known[0].message, known[0].hint)
        return BAD_USAGE if isinstance(known[0], UsageError) else FAILED
    if any(isinstance(leaf, KeyboardInterrupt | click.Abort) for leaf in leaves(error)):
        out.error("interrupted")
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        return _bad_usage(error, out)
    if os.environ.get("PODLANE_DEBUG") == "1":
        raise error
    from podlane.cli import crash

    out.error(
        f"this is a fault in podlane: {first_line(error)}",
        f"the details are in {crash.record(error)}; PODLANE_DEBUG=1 prints them",
    )
    return FAILED


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors inside a group of task groups, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def first_line(error: BaseException) -> str:
    """Return kind and first line of the error; of a group, of its first leaf."""
    leaf = next(leaves(error))
    return f"{type(leaf).__name__}: {(str(leaf).splitlines() or [''])[0]}"


def _bad_usage(error: click.ClickException, out: output.Output) -> int:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        out.err.line(error.format_message())
        return BAD_USAGE
    out.error(error.format_message(), f"{context.command_path} --help" if context else None)
    return BAD_USAGE


if __name__ == "__main__":
    sys.exit(main())
