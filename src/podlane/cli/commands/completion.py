"""``podlane completion``."""

from __future__ import annotations

import click

from podlane.cli import output
from podlane.cli.options import examples


@click.command(
    name="completion",
    epilog=examples(
        "source <(podlane completion bash)",
        'podlane completion zsh > "${fpath[1]}/_podlane"',
        "podlane completion fish > ~/.config/fish/completions/podlane.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from podlane.cli.main import podlane

    found = get_completion_class(shell)
    assert found is not None, "the choice lists click's own shells"
    script = found(podlane, {}, "podlane", "_PODLANE_COMPLETE").source_vars()
    out = output.standard().out
    out.line(str(found.source_template % script).strip())
