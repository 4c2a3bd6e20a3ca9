"""Write docs/reference/cli.md from the commands themselves; a test sees that it is current."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli.main import podlane

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
HEAD = """# Commands

Written by `make docs` from `podlane … --help`; change the command, not this page.
"""


def render() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_sections(podlane, "podlane", None)])


def _sections(command: click.Command, path: str, parent: click.Context | None) -> list[str]:
    context = click.Context(
        command, info_name=path.rpartition(" ")[2], parent=parent, max_content_width=100,
        terminal_width=100, help_option_names=["-h", "--help"],
    )  # fmt: skip
    found = [f"## {path}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                found += _sections(child, f"{path} {name}", context)
    return found


if __name__ == "__main__":
    PAGE.write_text(render())
