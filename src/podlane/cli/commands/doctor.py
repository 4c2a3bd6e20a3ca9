"""``podlane doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import cluster_options, examples, format_option


@click.command(
    name="doctor",
    epilog=examples(
        "podlane doctor",
        "podlane doctor --context staging",
        "podlane doctor --format json",
    ),
)
@cluster_options
@format_option
def command(kubeconfig: Path | None, context: str | None, output_format: str) -> int:
    """Say what is missing on this machine, and how to fix it.

    Checks what the embedded node needs, or with --kubeconfig or --context the cluster and what we
    may do there. Exits with 1 when something needed is missing.
    """
    from podlane.cli.servers import checkup

    out = output.standard()
    checks = checkup.machine()
    if kubeconfig is None and context is None:
        checks += checkup.node()
    else:
        checks += checkup.cluster(kubeconfig, context)
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
