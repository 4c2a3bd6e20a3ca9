"""Write docs/reference/helper.md from the helper's commands; a test sees that it is current."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from podlane.helper.flags import Flag
from podlane.helper.main import COMMANDS, Command

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "helper.md"
HEAD = """# `gitlab-runner-helper`

Written by `make docs` from the commands themselves; change the command, not this page.

The program of the helper image is Podlane's own, with the commands and flags of GitLab Runner's. Scripts
of either runner can call it, and Podlane's scripts work with GitLab's helper image too. A flag's
environment variable is in brackets; `--flag value`, `--flag=value` and one dash are the same. Exit code
1 comes with a sentence; `read-logs` exits with 100 when its file is gone.

Archives are zip (packed on all processors), `zipzstd` and `tarzstd` (with `libzstd.so.1`), for artifacts
also `gzip` and `raw`. Nothing is unpacked outside of the working directory, and nothing is written
through a link that leaves it.

What is different: `--gocloud-url` is refused, since no pod gets keys of a bucket (a role's caches go by
presigned URLs too); `proxy-exec --bootstrap` is refused, since this program is no single file that
runs in any image; `--transfer-buffer-size` changes nothing, as buffers have a fixed size. An upload or a
download of artifacts waits up to 20 minutes for a coordinator that is away, beside the attempts after
errors.
"""


def render() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for name, text in COMMANDS.items():
        module: Command = importlib.import_module(f"podlane.helper.{name.replace('-', '_')}")
        yield f"## `{name}`\n\n{text[0].upper()}{text[1:]}.\n"
        if module.FLAGS:
            rows = map(_row, module.FLAGS)
            yield "\n".join(["| flag | meaning |", "|---|---|", *rows, ""])


def _row(flag: Flag) -> str:
    environment = f" [`{flag.env}`]" if flag.env else ""
    default = f" (default `{flag.default}`)" if flag.default else ""
    return f"| `--{flag.name}`{environment} | {flag.help}{default} |"


if __name__ == "__main__":
    PAGE.write_text(render())
