"""A figure: its samples, its bar, and the table that shows it."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Samples of one quantity; smaller is better unless ``at_least``."""

    name: str
    unit: str
    bar: float
    samples: tuple[float, ...]
    note: str = ""
    at_least: bool = False

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.samples)

    @property
    def met(self) -> bool:
        """Whether the median keeps the bar."""
        return self.median >= self.bar if self.at_least else self.median <= self.bar

    def row(self) -> str:
        """The figure as a row of a Markdown table."""
        sign = "≥" if self.at_least else "≤"
        spread = f"{min(self.samples):.4g} to {max(self.samples):.4g}"
        return (
            f"| {self.name} | {sign} {self.bar:g} {self.unit} | **{self.median:.4g}** | {spread} "
            f"| {len(self.samples)} | {'yes' if self.met else 'NO'} | {self.note} |"
        )


HEAD = "| figure | bar | median | min to max | runs | met | note |\n|---|---|---|---|---|---|---|"


def machine() -> str:
    """One line about the machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "?")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return (
        f"{os.cpu_count()} cores ({model}), {pages / 2**30:.0f} GiB, Linux {platform.release()}, "
        f"CPython {platform.python_version()}"
    )
