"""Entry of ``gitlab-runner-helper``: finds the command, imports it alone, and runs it.

Exit codes: 0 done, 1 failed (a sentence says why), 100 ``read-logs`` lost its file.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from podlane.helper import console, flags
from podlane.helper.version import version

COMMANDS = {
    "artifacts-uploader": "create an archive of files and send it to the coordinator",
    "artifacts-downloader": "fetch an archive from the coordinator and unpack it here",
    "cache-archiver": "create an archive of files to keep between jobs",
    "cache-extractor": "fetch such an archive and unpack it here",
    "cache-init": "make directories writable for everybody",
    "health-check": "wait until a service accepts connections",
    "probe-url": "check that somebody answers HTTP at an address",
    "proxy-exec": "run a command and hide what it asks to have hidden",
    "read-logs": "print a growing file, each line after the offset behind it",
    "verify-version": "check that this program has the expected version",
}


class Command(Protocol):
    """What a command's module offers."""

    FLAGS: Sequence[flags.Flag]
    run: Callable[[flags.Values], int]


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    name = args[0] if args else "--help"
    if name in {"--version", "-v", "-version"}:
        print(f"gitlab-runner-helper (Podlane) {version()}")
        return 0
    if name in {"--help", "-h", "help"}:
        print(_help())
        return 0
    if name not in COMMANDS:
        console.print_fatal(f'unknown command "{name}"; there are: {", ".join(COMMANDS)}')
        return 1
    module: Command = importlib.import_module(f"podlane.helper.{name.replace('-', '_')}")
    if set(args[1:]) & {"--help", "-h"}:
        print(_command_help(name, module.FLAGS))
        return 0
    try:
        return module.run(flags.parse(module.FLAGS, args[1:], environ))
    except (console.FatalError, flags.FlagError) as error:
        console.print_fatal(str(error))
        return 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130


def _help() -> str:
    rows = "\n".join(f"  {name:<22}{text}" for name, text in COMMANDS.items())
    return (
        f"usage: gitlab-runner-helper COMMAND [FLAGS]\n\n{rows}\n\nCOMMAND --help lists its flags."
    )


def _command_help(name: str, known: Sequence[flags.Flag]) -> str:
    rows = "\n".join(
        f"  --{flag.name:<28}{flag.help}{f' [{flag.env}]' if flag.env else ''}" for flag in known
    )
    return f"usage: gitlab-runner-helper {name} [FLAGS]\n\n{rows}"
