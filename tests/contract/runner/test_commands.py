"""The commands around registered runners against the coordinator, as a user types them."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread
import pytest

from podlane.cli.main import main
from podlane.gitlab.client import open_client
from podlane.gitlab.errors import ForbiddenError
from podlane.runner.configuration.config_file import load_config
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.listeners.listener import Address, listening
from podlane.runner.manager.stats import Stats
from tests.contract.runner_api.bench import Bench, client_settings, running_bench
from tests.fakes.jobs import MANAGER

pytestmark = pytest.mark.anyio
SECRET = "registration-token-1"
COMMENTED = """\
# the only thing on this machine
concurrent = 7  # measured
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Cli:
    """Types commands that all use one configuration file."""

    file: Path
    capture: pytest.CaptureFixture[str]

    async def __call__(self, *words: str) -> Said:
        self.capture.readouterr()
        arguments = ["runner", *words, "--config", str(self.file)]
        code = await anyio.to_thread.run_sync(main, arguments)
        said = self.capture.readouterr()
        return Said(code, said.out, said.err)

    def runners(self) -> tuple[RunnerSettings, ...]:
        settings, found = load_config(self.file)
        assert found == ()
        return settings.runners


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path / "etc" / "config.toml", capsys)


async def is_alive(bench: Bench, token: str) -> bool:
    async with open_client(client_settings(bench.coordinator.url, token)) as client:
        try:
            await client.verify()
        except ForbiddenError:
            return False
    return True


async def register(cli: Cli, bench: Bench, *more: str) -> Said:
    url, token = bench.coordinator.url, bench.coordinator.runner_token
    return await cli("register", "-n", "--url", url, "--token", token, "--name", "one", *more)


async def test_a_runner_that_was_made_in_gitlab_is_written_down(tmp_path: Path, cli: Cli) -> None:
    async with running_bench(tmp_path) as bench:
        said = await register(
            cli, bench, "--limit=3", "--kubernetes_namespace", "ci", "--env", "A=1", "--env", "B=x,y",
            "--kubernetes-node-selector", "disk=ssd", "--feature-flags", '{"FF_TIMESTAMPS": true}',
            "--kubernetes-privileged",
        )  # fmt: skip
        assert said.code == 0, said.err
        assert bench.coordinator.runner_token not in said.out + said.err
        (runner,) = cli.runners()
        assert (runner.token, runner.id > 0) == (bench.coordinator.runner_token, True)
    assert (runner.name, runner.limit, runner.executor) == ("one", 3, "kubernetes")
    assert [f"{v.key}={v.value}" for v in runner.environment] == ["A=1", "B=x,y"]
    assert runner.executor_table == {
        "namespace": "ci", "node_selector": {"disk": "ssd"}, "privileged": True,
    }  # fmt: skip
    assert runner.feature_flags == (("FF_TIMESTAMPS", True),)
    assert stat.S_IMODE(cli.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(cli.file.parent.stat().st_mode) == 0o700
    assert (cli.file.parent / ".runner_system_id").read_text()[1] == "_"


async def test_what_a_user_wrote_survives(tmp_path: Path, cli: Cli) -> None:
    cli.file.parent.mkdir()
    cli.file.write_text(COMMENTED)
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        url = bench.coordinator.url
        assert (await register(cli, bench)).code == 0
        said = await cli(
            "register", "-n", "-u", url, "-r", SECRET, "--name", "two", "--tag-list", "a"
        )
        assert said.code == 0, said.err
        assert (await cli("reset-token", "--name", "two")).code == 0
        assert (await cli("unregister", "--name", "one")).code == 0
        (two,) = cli.runners()
        assert two.name == "two"
        assert await is_alive(bench, two.token)
    assert cli.file.read_text().startswith(COMMENTED)


async def test_everything_may_come_from_the_environment(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        for name, value in {
            "CI_SERVER_URL": bench.coordinator.url, "REGISTRATION_TOKEN": SECRET,
            "REGISTER_NON_INTERACTIVE": "true", "RUNNER_NAME": "env", "RUNNER_ENV": "A=1,B=2",
            "KUBERNETES_NAMESPACE": "ci", "KUBERNETES_CPU_LIMIT": "", "RUNNER_TAG_LIST": "a, b",
            "REGISTER_LOCKED": "false", "KUBERNETES_POD_LABELS": '{"team": "x"}',
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        said = await cli("register")
        assert said.code == 0, said.err
    (runner,) = cli.runners()
    assert runner.name == "env"
    assert [v.key for v in runner.environment] == ["A", "B"]
    assert runner.executor_table == {"namespace": "ci", "pod_labels": {"team": "x"}}


async def test_a_template_lies_under_what_is_given(tmp_path: Path, cli: Cli) -> None:
    template = tmp_path / "template.toml"
    template.write_text(
        "[[runners]]\nlimit = 5\nrequest_concurrency = 2\n"
        '[runners.kubernetes]\nnamespace = "t"\nimage = "alpine"\n'
    )
    async with running_bench(tmp_path) as bench:
        said = await register(
            cli, bench, "--template-config", str(template), "--kubernetes-namespace", "mine",
            "--limit", "9",
        )  # fmt: skip
        assert said.code == 0, said.err
        template.write_text("[[runners]]\n[[runners]]\n")
        twice = await register(cli, bench, "--template-config", str(template))
    (runner,) = cli.runners()
    assert (runner.limit, runner.request_concurrency) == (9, 2)
    assert runner.executor_table == {"namespace": "mine", "image": "alpine"}
    assert (twice.code, "2 [[runners]] entries" in twice.err) == (2, True)


@pytest.mark.parametrize(
    "option",
    ["--locked=false", "--access-level=ref_protected", "--run-untagged", "--maximum-timeout=3",
     "--paused", "--tag-list=a", "--maintenance-note=x"],
)  # fmt: skip
async def test_what_gitlab_keeps_cannot_be_given_with_a_runners_token(
    tmp_path: Path, cli: Cli, option: str
) -> None:
    async with running_bench(tmp_path) as bench:
        said = await register(cli, bench, option)
        assert (said.code, option.partition("=")[0] in said.err) == (2, True)
        assert not cli.file.exists()
        url, token = bench.coordinator.url, bench.coordinator.runner_token
        said = await cli("register", "-n", "-u", url, "-r", token, option)
    assert (said.code, "ignored" in said.err, len(cli.runners())) == (0, True, 1)


async def test_attributes_that_say_what_holds_anyway_do_not_matter(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "RUNNER_TAG_LIST": "", "REGISTER_LOCKED": "true", "REGISTER_RUN_UNTAGGED": "false",
        "REGISTER_PAUSED": "false", "REGISTER_MAXIMUM_TIMEOUT": "0", "REGISTER_ACCESS_LEVEL": "",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    async with running_bench(tmp_path) as bench:
        said = await register(cli, bench)
    assert said.code == 0, said.err


async def test_options_that_cannot_be_kept_are_refused_by_name(tmp_path: Path, cli: Cli) -> None:
    async with running_bench(tmp_path) as bench:
        said = await register(cli, bench, "--kubernetes-suspend_pvc_size", "1Gi")
        assert (said.code, "--kubernetes-suspend-pvc-size is a setting" in said.err) == (2, True)
        said = await register(cli, bench, "--docker-image", "alpine")
        assert (said.code, "docker executor" in said.err) == (2, True)
        said = await register(cli, bench, "--access-level", "mine")
        assert (said.code, "not_protected or ref_protected" in said.err) == (2, True)
    assert not cli.file.exists()


async def test_a_limit_beyond_concurrent_is_said(tmp_path: Path, cli: Cli) -> None:
    async with running_bench(tmp_path) as bench:
        said = await register(cli, bench, "--limit", "3")
    assert "limit = 3 is more than concurrent = 1" in said.err


async def test_a_wrong_token_registers_nothing(tmp_path: Path, cli: Cli) -> None:
    async with running_bench(tmp_path) as bench:
        for option in ("--token", "--registration-token"):
            for token in ("glrt-wrong-secret", "wrong-secret"):
                said = await cli("register", "-n", "-u", bench.coordinator.url, option, token)
                assert said.code == 1
                assert "403" in said.err
                assert "wrong-secret" not in said.err
    assert not cli.file.exists()


async def test_a_runner_that_cannot_be_written_down_is_removed_again(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.file.mkdir(parents=True)  # a directory in the file's place
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        arguments = ("register", "-n", "-u", bench.coordinator.url, "-r", SECRET, "--name", "lost")
        said = await cli(*arguments)
        assert (said.code, "cannot read" in said.err) == (2, True)
        before = await bench.client.verify()
        cli.file.rmdir()
        assert (await cli(*arguments)).code == 0
        async with open_client(client_settings(bench.coordinator.url, cli.runners()[0].token)) as c:
            assert (await c.verify()).id > before.id


async def test_questions_are_asked_for_what_is_missing(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        answers = [bench.coordinator.url, SECRET, "asked", "a,b", "", ""]
        monkeypatch.setattr("sys.stdin", _typed(answers))
        said = await cli("register")
        assert said.code == 0, said.err
        assert "Enter the GitLab instance URL" in said.err
        assert "Enter tags for the runner" in said.err
        monkeypatch.setattr("sys.stdin", _typed([bench.coordinator.runner_token, "", ""]))
        said = await cli("register", "--url", bench.coordinator.url)
        assert said.code == 0, said.err
        assert "Enter tags" not in said.err
    assert cli.runners()[0].name == "asked"


def _typed(answers: list[str]) -> object:
    import io

    return io.StringIO("".join(f"{answer}\n" for answer in answers))


async def test_the_list_shows_no_token(tmp_path: Path, cli: Cli) -> None:
    async with running_bench(tmp_path) as bench:
        await register(cli, bench)
        said = await cli("list")
        assert said.out.splitlines()[1].split()[:2] == ["one", "kubernetes"]
        as_json = await cli("list", "--format", "json")
    for shown in (said, as_json):
        assert bench.coordinator.runner_token not in shown.out + shown.err
        assert bench.coordinator.url in shown.out


async def test_verify_tells_the_living_from_the_dead_and_from_the_unknown(
    tmp_path: Path, cli: Cli
) -> None:
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        await register(cli, bench)
        await cli("register", "-n", "-u", bench.coordinator.url, "-r", SECRET, "--name", "two")
        assert (await cli("verify")).code == 0
        two = cli.runners()[1]
        async with open_client(client_settings(bench.coordinator.url, two.token)) as client:
            await client.reset_token()  # the token in the file is void now
        said = await cli("verify")
        assert (said.code, said.out.split()) == (1, ["one:", "alive", "two:", "removed"])
        assert (await cli("verify", "--name", "three")).code == 2
        assert (await cli("verify", "--name", "two", "--delete")).code == 0
        assert [runner.name for runner in cli.runners()] == ["one"]
    said = await cli("verify", "--delete")
    assert (said.code, said.out.split()) == (1, ["one:", "unknown"])
    assert len(cli.runners()) == 1


async def test_unregister_removes_on_both_sides(tmp_path: Path, cli: Cli) -> None:
    async with running_bench(tmp_path, registration_token=SECRET) as bench:
        url = bench.coordinator.url
        assert (await cli("unregister")).code == 2
        await register(cli, bench)
        await cli("register", "-n", "-u", url, "-r", SECRET, "--name", "two")
        assert (await cli("unregister", "--token", cli.runners()[1].token, "--url", url)).code == 0
        assert (await cli("unregister", "-t", bench.coordinator.runner_token, "-u", url)).code == 0
        assert cli.runners() == ()
        said = await cli("unregister", "-t", "glrt-unknown", "-u", url)
        assert (said.code, "403" in said.err) == (1, True)


async def test_all_runners_means_all_whatever_the_environment_has(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_bench(tmp_path) as bench:
        await register(cli, bench)
        monkeypatch.setenv("CI_SERVER_URL", "https://other.example.com")
        assert (await cli("unregister", "--all-runners")).code == 0
    assert cli.runners() == ()


async def test_a_new_token_replaces_the_old_one(tmp_path: Path, cli: Cli) -> None:
    async with running_bench(tmp_path) as bench:
        await register(cli, bench)
        old = cli.runners()[0]
        assert (await cli("reset-token", "--all-runners")).code == 0
        new = cli.runners()[0]
        assert [await is_alive(bench, r.token) for r in (old, new)] == [False, True]
        admin = bench.coordinator.admin_token
        assert (await cli("reset-token", "--id", str(new.id), "--pat", admin)).code == 0
        assert not await is_alive(bench, new.token)
        said = await cli("reset-token", "--name", "one", "--pat", "guessed")
        assert (said.code, "guessed" in said.err) == (1, False)


async def test_config_check_names_line_and_suggestion(cli: Cli) -> None:
    cli.file.parent.mkdir()
    cli.file.write_text("concurrent = 2\nconcurent = 3\n")
    said = await cli("config", "check")
    assert said.code == 2
    assert f"{cli.file}:2: error: concurent is not a known setting" in said.err
    assert "hint: did you mean concurrent?" in said.err
    cli.file.write_text("concurrent = 2\n")
    for command in (("config", "check"), ("lint",)):
        said = await cli(*command)
        assert (said.code, "can be used: 0 runners" in said.err) == (0, True)


@pytest.mark.parametrize("command", ["install", "start", "stop", "status", "wrapper"])
async def test_commands_without_a_counterpart_say_what_to_do(cli: Cli, command: str) -> None:
    said = await cli(command, "--user", "gitlab-runner")
    assert (said.code, f"`gitlab-runner {command}` has no counterpart" in said.err) == (2, True)
    assert "hint: " in said.err


async def test_health_check_needs_a_manager_that_takes_jobs(cli: Cli) -> None:
    cli.file.parent.mkdir()
    cli.file.write_text("concurrent = 2\n")
    said = await cli("health-check")
    assert (said.code, "no listen_address" in said.err) == (2, True)
    ready = True
    async with listening(
        Address(host="127.0.0.1", port=0), Stats(), MANAGER, ready=lambda: ready
    ) as port:
        cli.file.write_text(f'listen_address = "127.0.0.1:{port}"\n')
        said = await cli("health-check")
        assert (said.code, said.err) == (0, "ready\n")
        ready = False
        assert (await cli("health-check", "--listen-address", f"127.0.0.1:{port}")).code == 1
    said = await cli("health-check")
    assert (said.code, "no answer" in said.err) == (1, True)
