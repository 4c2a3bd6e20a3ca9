"""``dns_config`` and ``container_lifecycle``: what is refused at once, and what is in the pod."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.executors.kubernetes.status.observe import Broken, observe
from podlane.kit.diagnostics import Place
from podlane.model.job import Service
from tests.unit.executors.kubernetes.samples import (
    containers,
    execution_plan,
    pod,
    pod_plan,
    settings,
    spec,
    waiting,
)

LEGACY = {"FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY": True}


def findings(**table: Any) -> list[tuple[str, str]]:
    _, found = decode_settings(table, Place(file="config.toml"))
    return [(str(f.severity), f.message.removeprefix("runners.kubernetes.")) for f in found]


def files(plan: Any) -> dict[str, str]:
    data = plan.secret["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def test_dns_settings_are_those_of_the_pod() -> None:
    config = {
        "nameservers": ["1.2.3.4"],
        "searches": ["ns1.svc", "my.dns"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    plan = pod_plan(configured=settings(dns_policy="none", dns_config=config))
    assert spec(plan)["dnsPolicy"] == "None"
    assert spec(plan)["dnsConfig"] == config
    assert "dnsConfig" not in spec(pod_plan(configured=settings(dns_config={})))


def test_dns_settings_that_kubernetes_would_refuse_are_found_in_the_file() -> None:
    config = {
        "nameservers": ["1.1.1.1", "dns.example", "1.1.1.2", "1.1.1.3"],
        "options": [{"value": "2"}],
    }
    assert findings(dns_config=config) == [
        ("error", 'dns_config.nameservers: "dns.example" is not an IP address'),
        ("error", "dns_config.nameservers: Kubernetes takes at most 3"),
        ("error", "dns_config.options[0]: name must be set"),
    ]
    assert findings(dns_policy="none") == [
        ("error", 'dns_policy "none" needs a server in dns_config.nameservers')
    ]


def test_hooks_are_on_every_container_but_the_first() -> None:
    lifecycle = {
        "post_start": {"exec": {"command": ["touch", "/builds/postStart.txt"]}},
        "pre_stop": {
            "http_get": {
                "port": 8080, "host": "localhost", "path": "/test", "scheme": "http",
                "http_headers": [{"name": "header", "value": "value"}],
            }
        },
    }  # fmt: skip
    plan = execution_plan(services=(Service(name="redis", alias="cache"),))
    boxes = containers(pod_plan(plan, settings(container_lifecycle=lifecycle)))
    hooks = {
        "postStart": {"exec": {"command": ["touch", "/builds/postStart.txt"]}},
        "preStop": {
            "httpGet": {
                "port": 8080, "host": "localhost", "path": "/test", "scheme": "HTTP",
                "httpHeaders": [{"name": "header", "value": "value"}],
            }
        },
    }  # fmt: skip
    assert {name: box.get("lifecycle") for name, box in boxes.items()} == {
        "init-permissions": None,
        "build": hooks,
        "helper": hooks,
        "cache": hooks,
    }


def test_a_pre_stop_command_goes_to_the_supervisor_of_the_container_that_ends_itself() -> None:
    lifecycle = {"pre_stop": {"exec": {"command": ["sh", "-c", "echo 'bye' > /tmp/x"]}}}
    made = files(pod_plan(configured=settings(container_lifecycle=lifecycle)))
    assert made["plan"].startswith("pre_stop 30\nlogs /logs-7-42\n")
    assert made["stage.pre_stop"].startswith("exec sh -c 'echo '\"'\"'bye'\"'\"' > /tmp/x' >")
    items = spec(pod_plan(configured=settings(container_lifecycle=lifecycle)))["volumes"][0]
    assert {"key": "stage.pre_stop", "path": "stage.pre_stop"} in items["secret"]["items"]
    grace = settings(container_lifecycle=lifecycle, pod_termination_grace_period_seconds=5)
    assert files(pod_plan(configured=grace))["plan"].startswith("pre_stop 5\n")


def test_where_kubernetes_stops_the_container_the_hook_is_its_own_business() -> None:
    lifecycle = {"pre_stop": {"exec": {"command": ["true"]}}}
    legacy = pod_plan(execution_plan(flags=LEGACY), settings(container_lifecycle=lifecycle))
    assert "stage.pre_stop" not in files(legacy)
    assert containers(legacy)["build"]["lifecycle"] == {"preStop": {"exec": {"command": ["true"]}}}
    request = {"pre_stop": {"http_get": {"port": 80}}}
    made = files(pod_plan(configured=settings(container_lifecycle=request)))
    assert "stage.pre_stop" not in made
    assert "pre_stop" not in made["plan"]


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        ({}, " has no handler: write exec or http_get"),
        (
            {"exec": {"command": ["a"]}, "http_get": {"port": 1}},
            " has exec and http_get, but Kubernetes takes one handler only",
        ),
        ({"exec": {}}, ".exec: command must be set"),
        ({"http_get": {"path": "/"}}, ".http_get: port must be between 1 and 65535, not 0"),
        ({"http_get": {"port": 1, "scheme": "ftp"}}, 'scheme "ftp" is neither HTTP nor HTTPS'),
        (
            {"http_get": {"port": 1, "http_headers": [{"value": "v"}]}},
            "every one of http_headers needs a name",
        ),
    ],
)
@pytest.mark.parametrize("hook", ["post_start", "pre_stop"])
def test_a_hook_that_kubernetes_would_refuse_is_found_in_the_file(
    hook: str, handler: Any, text: str
) -> None:
    found = findings(container_lifecycle={hook: handler})
    assert len(found) == 1
    assert found[0][0] == "error"
    assert found[0][1].startswith(f"container_lifecycle.{hook}")
    assert text in found[0][1]


def test_a_hook_that_no_kubelet_runs_is_told() -> None:
    handler = {"tcp_socket": {"port": 80}}
    where = "container_lifecycle.%s.tcp_socket: Kubernetes cannot run it"
    assert findings(container_lifecycle={"post_start": handler}) == [
        (
            "error",
            f"{where % 'post_start'}, so every container would be killed at its start",
        )
    ]
    assert findings(container_lifecycle={"pre_stop": handler}) == [
        (
            "warning",
            f"{where % 'pre_stop'}, so it does nothing",
        )
    ]


def test_a_container_that_waits_because_of_its_hook_breaks_the_job() -> None:
    state = waiting("build", "PostStartHookError", "Exec lifecycle hook ([x]) failed")
    verdict = observe(pod(state, phase="Pending"), {})
    assert isinstance(verdict, Broken)
    assert "Exec lifecycle hook ([x]) failed" in verdict.message
    assert "container_lifecycle.post_start" in str(verdict.hint)
