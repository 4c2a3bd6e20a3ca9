"""Pods on the embedded node, on real containers, through HTTP: lives, ends and identities."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from podlane.kit.jsonvalue import text
from podlane.kube.types import Pod
from podlane.node import machine
from podlane.node.runtime.bundle import CAPABILITY_BITS
from tests.e2e.nodekit import container, data_dir, pod, runtime, status, world

__all__ = ["data_dir", "runtime"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]

LOGS = [{"name": "logs", "mountPath": "/logs"}]
EMPTY = [{"name": "logs", "emptyDir": {}}]


async def test_an_init_container_prepares_what_two_containers_share(
    data_dir: Path, runtime: str
) -> None:
    async with world(data_dir, runtime=runtime) as w:
        uid = await w.create(
            pod(
                "founding",
                container(
                    "id; echo build > /logs/output.log; exec sleep 100",
                    "build",
                    volumeMounts=LOGS,
                    securityContext={"runAsUser": 1000},
                ),
                container(["sleep", "100"], "helper", volumeMounts=LOGS),
                initContainers=[
                    container("touch /logs/first; chmod -R 777 /logs", "init", volumeMounts=LOGS)
                ],
                volumes=EMPTY,
            )
        )
        found = await w.running("founding")
        assert {s.name for s in found.status.container_statuses} == {"build", "helper"}
        assert all(s.ready for s in found.status.container_statuses)
        script = "cat /logs/output.log; stat -c %a:%u /logs /logs/first"
        code, output = await w.execute("founding", "sh", "-c", script, container="helper")
        assert (code, output) == (0, "build\n777:0\n777:0\n")
        assert "uid=1000(user) gid=1000(user)" in await w.log("founding", "build")
        reasons = [reason for reason, _ in await w.events(uid)]
        assert reasons[0] == "Scheduled"
        assert reasons.count("Started") == 3
        await w.delete("founding")
        assert not list((w.node.state_dir / "pods").iterdir())


@pytest.mark.parametrize(
    ("script", "code", "reason", "phase"),
    [
        ("exit 0", 0, "Completed", "Succeeded"),
        ("exit 7", 7, "Error", "Failed"),
        ("kill -9 $$$$; sleep 9", 137, "Error", "Failed"),
    ],
)
async def test_an_exit_code_is_reported(
    data_dir: Path, script: str, code: int, reason: str, phase: str
) -> None:
    # Signal 9 from inside does not reach pid 1: the shell is a child of one that waits.
    command = f"sh -c '{script}'; exit $?"
    async with world(data_dir) as w:
        await w.create(pod("p", container(command)))
        found = await w.ended("p")
        ended = status(found).state.terminated
        assert ended is not None
        assert (ended.exit_code, ended.reason, found.status.phase) == (code, reason, phase)


async def test_a_missing_command_is_a_start_error(data_dir: Path, runtime: str) -> None:
    async with world(data_dir, runtime=runtime) as w:
        uid = await w.create(pod("p", container(["/nosuch"])))
        ended = status(await w.ended("p")).state.terminated
        assert ended is not None
        assert (ended.exit_code, ended.reason) == (128, "StartError")
        assert "/nosuch" in ended.message
        assert ended.started_at == "1970-01-01T00:00:00Z"
        assert any("/nosuch" in m for reason, m in await w.events(uid) if reason == "Failed")


async def test_a_container_over_its_memory_limit_is_oom_killed(
    data_dir: Path, runtime: str
) -> None:
    script = "dd if=/dev/zero of=/dev/null bs=200M count=1"
    async with world(data_dir, runtime=runtime) as w:
        limits = {"limits": {"memory": "32Mi"}}
        await w.create(pod("p", container(f"exec {script}", resources=limits)))
        ended = status(await w.ended("p")).state.terminated
        assert ended is not None
        assert (ended.exit_code, ended.reason) == (137, "OOMKilled")


async def test_containers_that_together_exceed_the_limit_of_their_pod_are_oom_killed(
    data_dir: Path, runtime: str
) -> None:
    hold = "dd if=/dev/zero of=/dev/shm/held bs=1M count=32; touch /dev/shm/now; sleep 1000"
    wait = "while [ ! -e /dev/shm/now ]; do sleep 0.1; done"
    eat = f"{wait}; exec dd if=/dev/zero of=/dev/null bs=32M count=1"
    async with world(data_dir, runtime=runtime) as w:
        limits = {"limits": {"memory": "48Mi"}}
        boxes = {"containers": [container(hold, "holder"), container(eat, "eater")]}
        await w.create(pod("p", container("true"), resources=limits, **boxes))
        found = await w.until("p", lambda p: status(p, "eater").state.terminated)
        ended = status(found, "eater").state.terminated
        assert ended is not None
        assert (ended.exit_code, ended.reason) == (137, "OOMKilled")
        assert status(found, "holder").state.running is not None


async def test_a_pod_waits_until_the_node_is_as_its_affinity_wants_it(data_dir: Path) -> None:
    wanted = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [wanted]}}
    why = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    async with world(data_dir) as w:
        affinity = {"nodeAffinity": required}
        uid = await w.create(pod("p", container("echo here"), affinity=affinity))

        def is_held_up(found: Pod) -> bool:
            held = [c for c in found.status.conditions if c.type == "PodScheduled"]
            return bool(held) and (held[0].status, held[0].reason) == ("False", "Unschedulable")

        held = await w.until("p", is_held_up)
        assert [c.message for c in held.status.conditions if c.type == "PodScheduled"] == [why]
        assert ("FailedScheduling", why) in await w.events(uid)
        [node] = w.node.store.list("nodes").items
        name = text(node, "metadata", "name")
        await w.client.patch("nodes", "", name, {"metadata": {"labels": {"disk": "ssd"}}})
        assert (await w.ended("p")).status.phase == "Succeeded"


async def test_pods_that_shun_each_other_run_one_after_the_other(data_dir: Path) -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    async with world(data_dir) as w:
        for name in ("one", "two"):
            manifest = pod(name, container("sleep 1000"), affinity=affinity)
            manifest["metadata"]["labels"] = {"a": "b"}
            await w.create(manifest)
        await w.running("one")
        second = await w.until("two", lambda p: p.status.conditions)
        assert second.status.phase == "Pending"
        await w.delete("one")
        await w.running("two")


async def test_a_failing_init_container_fails_the_pod(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container("true"), initContainers=[container("exit 3", "init")]))
        found = await w.ended("p")
        assert found.status.phase == "Failed"
        waiting = status(found).state.waiting
        assert waiting is not None
        assert waiting.reason == "PodInitializing"


async def test_a_deadline_ends_the_pod(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container(["sleep", "100"]), activeDeadlineSeconds=1))
        found = await w.ended("p")
        assert found.status.reason == "DeadlineExceeded"
        found = await w.until("p", lambda p: status(p).state.terminated)
        ended = status(found).state.terminated
        assert ended is not None
        assert ended.exit_code == 137


async def test_a_pod_that_fills_its_volume_is_evicted(data_dir: Path) -> None:
    async with world(data_dir) as w:
        mounts = [{"name": "v", "mountPath": "/v"}]
        script = "dd if=/dev/zero of=/v/big bs=1M count=3 2>/dev/null; sleep 100"
        volumes = [{"name": "v", "emptyDir": {"sizeLimit": "2Mi"}}]
        uid = await w.create(pod("p", container(script, volumeMounts=mounts), volumes=volumes))
        message = 'Usage of EmptyDir volume "v" exceeds the limit "2Mi". '
        found = await w.until("p", lambda p: status(p).state.terminated is not None)
        ended = status(found).state.terminated
        assert (found.status.phase, found.status.reason) == ("Failed", "Evicted")
        assert found.status.message == message
        assert ended is not None
        assert ended.exit_code == 137
        assert ("Evicted", message) in await w.events(uid)


async def test_a_term_is_followed_by_a_kill_only_when_needed(data_dir: Path, runtime: str) -> None:
    polite = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done"
    async with world(data_dir, runtime=runtime) as w:
        await w.create(pod("polite", container(polite), terminationGracePeriodSeconds=30))
        await w.running("polite")
        await w.execute("polite", "sh", "-c", "until grep -q sleep /proc/*/cmdline; do :; done")
        await w.delete("polite", grace_seconds=30)
        await w.create(pod("deaf", container("trap '' TERM; exec sleep 100")))
        await w.running("deaf")
        await w.delete("deaf", grace_seconds=1)


async def test_a_failed_container_is_restarted_when_the_policy_says_so(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container("echo one more; exit 1"), restartPolicy="OnFailure"))
        found = await w.until("p", lambda p: status(p).restart_count >= 2)
        last = status(found).last_state.terminated
        assert last is not None
        assert last.exit_code == 1
        assert await w.log("p", previous="true") in {"one more\n", ""}
        await w.waiting("p", "CrashLoopBackOff")


async def test_a_termination_message_falls_back_to_the_log(data_dir: Path) -> None:
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    async with world(data_dir) as w:
        await w.create(pod("said", container("echo why > /dev/termination-log; exit 1")))
        await w.create(pod("logged", container("echo the reason; exit 1", **policy)))
        for name, message in (("said", "why\n"), ("logged", "the reason\n")):
            ended = status(await w.ended(name)).state.terminated
            assert ended is not None
            assert ended.message == message


async def test_config_maps_and_secrets_become_files_and_variables(data_dir: Path) -> None:
    script = "cat /c/a /s/deep/key; stat -Lc %a /c/a /s/deep/key; echo $PLAIN-$KEYED-$NAME-$BOTH"
    async with world(data_dir) as w:
        mounts = [{"name": "c", "mountPath": "/c"}, {"name": "s", "mountPath": "/s"}]
        await w.create(
            pod(
                "p",
                container(
                    script,
                    volumeMounts=mounts,
                    envFrom=[{"configMapRef": {"name": "conf"}}],
                    env=[
                        {
                            "name": "KEYED",
                            "valueFrom": {"secretKeyRef": {"name": "sec", "key": "k"}},
                        },
                        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "BOTH", "value": "$(PLAIN)$(NAME)$$(NAME)"},
                    ],
                ),
                volumes=[
                    {"name": "c", "configMap": {"name": "conf"}},
                    {
                        "name": "s",
                        "secret": {
                            "secretName": "sec",
                            "items": [{"key": "k", "path": "deep/key", "mode": 0o400}],
                        },
                    },
                ],
            )
        )
        # They are made after the pod: it waits for them.
        await w.client.create(
            "configmaps",
            "default",
            {
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": {"name": "conf"},
                "data": {"a": "file\n", "PLAIN": "plain"},
            },
        )
        await w.client.create(
            "secrets",
            "default",
            {
                "kind": "Secret",
                "apiVersion": "v1",
                "metadata": {"name": "sec"},
                "data": {"k": base64.b64encode(b"hidden").decode()},
            },
        )
        found = await w.ended("p")
        assert found.status.phase == "Succeeded"
        expected = "file\nhidden644\n400\nplain-hidden-p-plainp$(NAME)\n"
        assert await w.log("p") == expected


async def test_identities_are_those_of_the_security_context(data_dir: Path) -> None:
    script = "id; stat -c %a:%g /logs; touch /logs/x; stat -c %u:%g /logs/x; "
    script += "grep CapEff /proc/$$$$/status"
    context = {"runAsUser": 1234, "runAsGroup": 5678, "fsGroup": 2000, "supplementalGroups": [3000]}
    async with world(data_dir) as w:
        await w.create(
            pod("p", container(script, volumeMounts=LOGS), volumes=EMPTY, securityContext=context)
        )
        await w.create(pod("own", container("id -u", image="steveazz/noroot-alpine")))
        await w.ended("p")
        log = await w.log("p")
        assert "uid=1234 gid=5678" in log
        groups = log.splitlines()[0].partition("groups=")[2].split(",")
        assert {"2000", "3000"} <= set(groups)
        assert "2777:2000\n1234:2000\n" in log
        assert "0000000000000000" in log
        await w.ended("own")
        assert await w.log("own") == "1000\n"


async def test_a_root_where_none_is_allowed_cannot_be_configured(data_dir: Path) -> None:
    async with world(data_dir) as w:
        context = {"runAsNonRoot": True}
        await w.create(pod("p", container("true", securityContext=context)))
        found = await w.waiting("p", "CreateContainerConfigError")
        waiting = status(found).state.waiting
        assert waiting is not None
        assert "container has runAsNonRoot and image will run as root" in waiting.message
        await w.delete("p")


async def test_rights_are_given_and_taken(data_dir: Path) -> None:
    script = "touch /x 2>&1; grep -E 'CapEff|NoNewPrivs' /proc/self/status; ls /dev | wc -l"
    async with world(data_dir) as w:
        drop = {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}
        strict = drop | {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}
        await w.create(pod("strict", container(script, securityContext=strict)))
        await w.create(pod("wide", container(script, securityContext={"privileged": True})))
        await w.create(pod("plain", container(script)))
        for name in ("strict", "wide", "plain"):
            assert (await w.ended(name)).status.phase == "Succeeded", name
        log = await w.log("strict")
        assert "Read-only file system" in log
        assert "CapEff:\t0000000000000001" in log
        assert "NoNewPrivs:\t1" in log
        ours = sum(1 << CAPABILITY_BITS[name] for name in machine.capabilities())
        assert f"CapEff:\t{ours:016x}" in await w.log("wide")
        assert "CapEff:\t00000000a80425fb" in await w.log("plain")


async def test_names_are_in_the_hosts_file(data_dir: Path) -> None:
    async with world(data_dir) as w:
        aliases = [{"ip": "127.0.0.1", "hostnames": ["db", "postgres"]}]
        await w.create(pod("p", container("cat /etc/hosts; hostname"), hostAliases=aliases))
        await w.ended("p")
        log = await w.log("p")
        assert "127.0.0.1\tdb postgres\n" in log
        assert log.endswith("\np\n")


async def test_containers_of_a_pod_share_localhost_and_nothing_else(data_dir: Path) -> None:
    async with world(data_dir, network="none") as w:
        server = container("echo hi | nc -l -p 8000", "server")
        client = container("until nc 127.0.0.1 8000 </dev/null; do :; done; ls /sys/class/net")
        await w.create(pod("p", client, server))
        await w.ended("p")
        assert (await w.log("p")).endswith("hi\nlo\n")
