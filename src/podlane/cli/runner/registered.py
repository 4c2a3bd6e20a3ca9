"""What the commands around registered runners share: the file, who we are, how GitLab is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from podlane.kit.clock import SystemClock
from podlane.kit.errors import UsageError
from podlane.runner import app, system_id
from podlane.runner.administration import roster
from podlane.runner.administration.maintenance import Maintenance
from podlane.runner.administration.registration import Registrar
from podlane.runner.administration.roster import Choice, Entry
from podlane.runner.configuration import config_file
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings
from podlane.runner.identity import Manager


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One configuration file and the machine that it is on."""

    file: Path
    manager: Manager

    def maintenance(self) -> Maintenance:
        """Return what acts on registered runners."""
        return Maintenance(
            file=self.file, manager=self.manager, open_api=app.open_gitlab, clock=SystemClock()
        )

    def registrar(self) -> Registrar:
        """Return what registers runners."""
        return Registrar(
            file=self.file, manager=self.manager, open_api=app.open_gitlab, clock=SystemClock()
        )

    def runners(self) -> tuple[RunnerSettings, ...]:
        """Return the runners of the file, even when some of it cannot be used.

        Raises:
            UsageError: the file cannot be read, or is no TOML.
        """
        return self.settings().runners

    def settings(self) -> GlobalSettings:
        """Return the settings of the file, even when some of it cannot be used.

        Raises:
            UsageError: the file cannot be read, or is no TOML.
        """
        return settings(self.file)

    def choose(self, choice: Choice) -> list[Entry]:
        """Return the runners that are meant; all for an empty choice.

        Raises:
            UsageError: there is none.
        """
        return roster.choose(self.runners(), choice)


def control(config: Path | None, *, create: bool = False) -> Control:
    """Return the control of a file, by default of the official runner's.

    ``create``: make its directory, so that who we are is kept there from the first request on.

    Raises:
        UsageError: the directory cannot be made.
    """
    file = config or config_file.default_path()
    try:
        if create:
            file.absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make {file.absolute().parent}: {error.strerror}",
            hint="name another file with --config",
        ) from error
    return Control(file=file, manager=app.local_manager(system_id.load(file.absolute().parent)))


def settings(config: Path | None) -> GlobalSettings:
    """Return the settings of a file, even when some of it cannot be used.

    Raises:
        UsageError: the file cannot be read, or is no TOML.
    """
    loaded, found = config_file.load_config(config or config_file.default_path())
    broken = [finding for finding in found if finding.code == "toml-syntax"]
    if broken:
        raise UsageError(f"{broken[0].place}: {broken[0].message}", hint="mend its syntax")
    return loaded
