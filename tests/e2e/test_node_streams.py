"""Exec, attach and log on the embedded node."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from tests.e2e.nodekit import NAMESPACE, container, data_dir, pod, printed, runtime, world

__all__ = ["data_dir", "runtime"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]


async def test_exec_passes_stdin_stdout_and_the_exit_code(data_dir: Path, runtime: str) -> None:
    async with world(data_dir, runtime=runtime) as w:
        context = {"runAsUser": 1000}
        await w.create(pod("p", container(["sleep", "100"], securityContext=context)))
        await w.running("p")
        blob = b"x" * (4 << 20)
        code, output = await w.execute("p", "sh", "-c", "wc -c; id -u; exit 3", stdin=blob)
        assert (code, output) == (3, f"{len(blob)}\n1000\n")


async def test_a_command_that_is_not_there_leaves_the_container_well(
    data_dir: Path, runtime: str
) -> None:
    async with world(data_dir, runtime=runtime) as w:
        await w.create(pod("p", container(["sleep", "100"])))
        await w.running("p")
        code, output = await w.execute("p", "nosuch")
        assert code not in {0, None}
        assert "nosuch" in output
        assert (await w.execute("p", "true"))[0] == 0
        await w.delete("p")


async def test_a_command_is_ended_when_its_client_goes(data_dir: Path, runtime: str) -> None:
    async with world(data_dir, runtime=runtime) as w:
        await w.create(pod("p", container(["sleep", "100"])))
        await w.running("p")
        command = ["sh", "-c", "echo up; exec sleep 77"]
        async with w.client.exec(NAMESPACE, "p", "main", command) as session:
            async for _, data in session.output():
                assert data == b"up\n"
                break
        gone = "while grep -qa 'sleep.77' /proc/[0-9]*/cmdline; do :; done"
        with anyio.fail_after(10):
            await w.execute("p", "sh", "-c", gone.replace("sleep.77", "[s]leep.77"))


async def test_a_terminal_has_a_size_and_an_exit_code(data_dir: Path, runtime: str) -> None:
    async with world(data_dir, runtime=runtime) as w:
        await w.create(pod("p", container(["sleep", "100"])))
        await w.running("p")
        command = ["sh", "-c", "read x; stty size; exit 5"]
        output = b""
        async with w.client.exec(NAMESPACE, "p", "main", command, stdin=True, tty=True) as session:
            await session.resize(101, 33)
            await session.write_stdin(b"go\n")
            async for _, data in session.output():
                output += data
            assert (await session.status()).exit_code == 5
        assert b"33 101" in output


async def test_a_short_command_on_a_terminal_loses_no_output(data_dir: Path, runtime: str) -> None:
    async with world(data_dir, runtime=runtime) as w:
        await w.create(pod("p", container(["sleep", "100"])))
        await w.running("p")
        for _ in range(5):
            output = b""
            async with w.client.exec(NAMESPACE, "p", "main", ["echo", "hi"], tty=True) as session:
                async for _, data in session.output():
                    output += data
                assert (await session.status()).exit_code == 0
            assert output == b"hi\r\n"


async def test_attach_talks_to_the_first_process(data_dir: Path, runtime: str) -> None:
    async with world(data_dir, runtime=runtime) as w:
        await w.create(pod("p", container(["sh"], stdin=True, stdinOnce=True)))
        await w.running("p")
        output = b""
        async with w.client.attach(NAMESPACE, "p", "main", stdin=True) as session:
            await session.write_stdin(b"echo got it; echo wrong >&2; exit 4\n")
            async for channel, data in session.output():
                output += f"{channel}:".encode() + data
        assert b"1:got it" in output
        assert b"2:wrong" in output
        found = await w.ended("p")
        ended = found.status.container_statuses[0].state.terminated
        assert ended is not None
        assert ended.exit_code == 4


async def test_an_attachment_ends_with_its_stdin_and_the_process_goes_on(
    data_dir: Path, runtime: str
) -> None:
    """GitLab's runner hands scripts to the job's shell that way, one attachment each."""
    async with world(data_dir, runtime=runtime) as w:
        await w.create(pod("p", container(["sh"], stdin=True)))
        await w.running("p")
        for word in ("one", "two"):
            async with w.client.attach(NAMESPACE, "p", "main", stdin=True) as session:
                await session.write_stdin(f"echo {word} >> /said\n".encode())
                await session.close_stdin()
                async for _ in session.output():
                    pass
                assert (await session.status()).exit_code == 0
        code, said = await w.execute(
            "p", "sh", "-c", "while [ $(wc -l < /said) != 2 ]; do :; done; cat /said"
        )
        assert (code, said) == (0, "one\ntwo\n")


async def test_who_attaches_first_sees_what_was_printed_before_and_others_do_not(
    data_dir: Path,
) -> None:
    async with world(data_dir) as w:
        script = "echo early; read line; echo $line"
        await w.create(pod("p", container(script, stdin=True, stdinOnce=True)))
        await printed(w, "p", "early")

        async def attached(send: bytes = b"") -> bytes:
            output = b""
            async with w.client.attach(NAMESPACE, "p", "main", stdin=True) as session:
                await session.write_stdin(send)
                async for _, data in session.output():
                    output += data
                    if not send:
                        break
            return output

        assert await attached() == b"early\n"
        assert await attached(b"late\n") == b"late\n"


async def test_a_log_is_followed_to_its_end(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container("mkfifo /go; echo one; read x < /go")))
        await w.running("p")
        seen = b""
        async with aclosing(w.client.pod_log(NAMESPACE, "p", "main", follow=True)) as log:
            async for chunk in log:
                seen += chunk
                if seen == b"one\n":
                    break
        assert seen == b"one\n" or seen.startswith(b"one\n")
        await w.delete("p")


async def test_a_log_has_a_tail_and_stamps(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container("seq 1 1000; printf end")))
        await w.ended("p")
        assert await w.log("p", tailLines="2") == "1000\nend"
        assert await w.log("p", limitBytes="3") == "1\n2"
        stamped = (await w.log("p", timestamps="true")).splitlines()
        assert len(stamped) == 1001
        assert stamped[999].endswith("Z 1000")


async def test_a_hundred_mebibytes_of_log_arrive_whole(data_dir: Path) -> None:
    script = "yes 0123456789abcde | head -c 104857600"
    async with world(data_dir) as w:
        await w.create(pod("p", container(script)))
        await w.running("p")
        size = 0
        async with aclosing(w.client.pod_log(NAMESPACE, "p", "main", follow=True)) as log:
            async for chunk in log:
                size += len(chunk)
        assert size == 104857600
