"""``podlane doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from podlane.cli import output
from podlane.cli.options import cluster_options, examples, format_option

if TYPE_CHECKING:
    from podlane.cli.servers.checkup import Check


@click.command(
    name="doctor",
    epilog=examples(
        "podlane doctor",
        "podlane doctor --context staging",
        "podlane doctor --config config.toml",
        "podlane doctor --format json",
    ),
)
@cluster_options
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A runner's config.toml: what its settings need in the cluster is asked for, too.",
)
@format_option
def command(
    kubeconfig: Path | None, context: str | None, config: Path | None, output_format: str
) -> int:
    """Say what is missing on this machine, and how to fix it.

    Checks what the embedded node needs, or with --kubeconfig, --context or --config the cluster and
    what we may do there. Exits with 1 when something needed is missing.
    """
    from podlane.cli.servers import checkup

    out = output.standard()
    checks = checkup.machine()
    if kubeconfig is None and context is None and config is None:
        checks += checkup.node()
    else:
        checks += _cluster(kubeconfig, context, config, out)
    missing = any(check.verdict is checkup.Verdict.MISSING for check in checks)
    if output_format == "json":
        out.document({"ok": not missing, "checks": [check.document() for check in checks]})
        return 1 if missing else 0
    looks = {
        checkup.Verdict.OK: ("✓", output.Style.GREEN),
        checkup.Verdict.WARNING: ("!", output.Style.YELLOW),
        checkup.Verdict.MISSING: ("✗", output.Style.RED),
    }
    width = max(len(check.name) for check in checks)
    for check in checks:
        sign, look = looks[check.verdict]
        head, *more = check.detail.splitlines() or [""]
        out.out.line(
            f"{out.out.style(sign, look, output.Style.BOLD)} {check.name:<{width}}  {head}"
        )
        for line in more:
            out.out.line(f"  {'':<{width}}  {line}")
        if check.remedy:
            out.out.line(f"  {'':<{width}}  {out.out.style(check.remedy, output.Style.CYAN)}")
    return 1 if missing else 0


def _cluster(
    kubeconfig: Path | None, context: str | None, config: Path | None, out: output.Output
) -> list[Check]:
    """Look at a cluster: the one that was named, or else the file's."""
    from podlane.cli.runner import configfile, executing
    from podlane.cli.servers import checkup
    from podlane.kube.access import load_access

    if config is None:
        return checkup.cluster(lambda: load_access(kubeconfig, context))
    configured = executing.all_settings(configfile.load(config, out, needs_gitlab=False), config)
    if kubeconfig is None and context is None:
        return checkup.cluster(lambda: executing.configured_access(configured[0]), configured)
    return checkup.cluster(lambda: load_access(kubeconfig, context), configured)
