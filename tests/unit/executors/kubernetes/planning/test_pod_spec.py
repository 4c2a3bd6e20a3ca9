from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podlane.executors.kubernetes.planning import patchfiles
from podlane.executors.kubernetes.planning.patched_plan import with_patches, without_patches
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.executors.kubernetes.settings.podspec import PatchError, PodSpecPatch
from podlane.kit.diagnostics import Place
from podlane.model.job import Service
from tests.unit.executors.kubernetes.samples import (
    containers,
    execution_plan,
    pod_plan,
    settings,
    spec,
)


def entry(patch: str, kind: str = "", name: str = "mine") -> dict[str, str]:
    return {"name": name, "patch": patch, "patch_type": kind}


def patched(*entries: dict[str, str], base: PodPlan | None = None, **table: Any) -> PodPlan:
    configured = settings(pod_spec=[*entries], **table)
    return with_patches(base or pod_plan(None, configured), patchfiles.load(configured.pod_spec))


def findings(*entries: dict[str, str]) -> list[str]:
    table: Any = {"pod_spec": entries}
    _, found = decode_settings(table, Place(file="config.toml"))
    return [f"{each.message} | {each.hint}" for each in found]


def test_the_three_kinds_of_patches_are_applied_in_order() -> None:
    plan = patched(
        entry('hostname: "first"\nsubdomain: "sub"', "merge"),
        entry('hostname: "second"'),
        entry('[{"op": "replace", "path": "/hostname", "value": "third"}]', "json"),
        entry("subdomain: null", "strategic"),
    )
    assert spec(plan)["hostname"] == "third"
    assert "subdomain" not in spec(plan)


def test_a_strategic_patch_adds_to_the_lists_of_a_container() -> None:
    plan = patched(
        entry(
            """
            containers:
            - name: build
              env: [{name: TOOL, value: "1"}]
              resources: {requests: {cpu: 500m}}
              volumeMounts: [{name: certs, mountPath: /certs}]
            volumes:
            - name: certs
              configMap: {name: certs}
            """
        ),
        memory_limit="64Mi",
    )
    build = containers(plan)["build"]
    assert build["env"] == [{"name": "TOOL", "value": "1"}]
    assert build["resources"] == {"limits": {"memory": "64Mi"}, "requests": {"cpu": "500m"}}
    paths = {mount["mountPath"] for mount in build["volumeMounts"]}
    assert paths >= {"/certs", "/builds", "/scripts-7-42", "/logs-7-42", "/podlane"}
    assert {volume["name"] for volume in spec(plan)["volumes"]} >= {"certs", "scripts", "repo"}


def test_a_json_patch_as_gitlab_documents_it_reads_yaml_flow() -> None:
    patch = """
    [{ "op": "add", "path": "/nodeSelector", "value": { key1: "val1" } },
     {"op": "add", "path": "/hostUsers", "value": false}]
    """
    plan = patched(entry(patch, "json"))
    assert spec(plan)["nodeSelector"] == {"key1": "val1"}
    assert spec(plan)["hostUsers"] is False


def test_a_volume_for_each_job_may_take_the_place_of_the_builds_directory() -> None:
    plan = patched(
        entry(
            """
            containers:
            - name: build
              volumeMounts: [{name: builds, mountPath: /builds}]
            - name: helper
              volumeMounts: [{name: builds, mountPath: /builds}]
            volumes:
            - name: builds
              ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce]}}}
            """
        )
    )
    for name in ("build", "helper"):
        mounts = {m["mountPath"]: m["name"] for m in containers(plan)[name]["volumeMounts"]}
        assert mounts["/builds"] == "builds"


def test_the_limit_of_a_patched_pod_is_the_one_that_is_told() -> None:
    plan = patched(entry("resources: {limits: {memory: 1Gi}}"), memory_limit="64Mi")
    assert dict(plan.memory_limits)["build"] == "64Mi, that of the whole pod 1Gi"


def test_the_trace_says_what_was_patched() -> None:
    plan = patched(entry("hostname: a", "merge", "host"), entry("subdomain: b", name=""))
    assert plan.notes[-1].text == (
        'Patched the spec of the pod by pod_spec [0] "host" (merge), [1] (strategic)'
    )


def test_without_its_flag_the_trace_says_that_nothing_is_patched() -> None:
    plan = pod_plan()
    left = without_patches(plan, 2)
    assert left.pod == plan.pod
    assert "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION is off" in left.notes[-1].text


MERGED_BUILD = "containers: [{name: build, env: [{name: A, value: b}]}]"


@pytest.mark.parametrize(
    ("patch", "kind", "damage"),
    [
        (MERGED_BUILD, "merge", 'changes command of the container "build"'),
        ("containers: [{name: helper, $patch: delete}]", "", 'renames the container "helper"'),
        ("initContainers: null", "merge", 'renames the container "init-permissions"'),
        (
            '[{"op": "replace", "path": "/containers/0/name", "value": "main"}]',
            "json",
            'removes or renames the container "build"',
        ),
        (
            "containers: [{name: build, command: [bash]}]",
            "",
            'changes command of the container "build"',
        ),
        (
            "containers: [{name: helper, args: [x]}]",
            "",
            'changes args of the container "helper"',
        ),
        (
            "containers: [{name: build, volumeMounts: [{mountPath: /logs-7-42, $patch: delete}]}]",
            "",
            'takes the mount of /logs-7-42 from the container "build"',
        ),
        (
            "containers: [{name: build, volumeMounts: [{mountPath: /podlane, readOnly: false}]}]",
            "",
            "takes the mount of /podlane",
        ),
        (
            "containers: [{name: build, volumeMounts: [{mountPath: /builds, $patch: delete}]}]",
            "",
            'takes the mount of /builds from the container "build"',
        ),
        (
            "containers: [{name: helper, volumeMounts: [{mountPath: /builds, readOnly: true}]}]",
            "",
            'makes /builds read-only in the container "helper"',
        ),
        (
            "containers: [{name: helper, volumeMounts: [{mountPath: /builds, name: other}]}]",
            "",
            "mounts different volumes at /builds",
        ),
        ("volumes: [{name: tools, $patch: delete}]", "", 'removes the volume "tools"'),
        (
            "volumes: [{name: logs, emptyDir: null, hostPath: {path: /tmp}}]",
            "",
            'removes the volume "logs", or makes another of it',
        ),
        ("restartPolicy: Always", "merge", "sets restartPolicy to 'Always'"),
        ("hostAliases: []", "merge", "the name of a service: redis"),
    ],
)
def test_a_patch_that_breaks_the_job_is_refused_by_its_name(
    patch: str, kind: str, damage: str
) -> None:
    base = pod_plan(execution_plan(services=(Service(name="redis"),)))
    with pytest.raises(PlanError) as refused:
        patched(entry("hostname: a"), entry(patch, kind), entry("subdomain: a"), base=base)
    assert refused.value.message.startswith('runners.kubernetes.pod_spec[1] "mine" ')
    assert damage in refused.value.message


def test_what_one_patch_breaks_the_next_may_mend() -> None:
    plan = patched(entry("restartPolicy: Always"), entry("restartPolicy: Never"))
    assert spec(plan)["restartPolicy"] == "Never"


def test_memory_may_hold_the_log() -> None:
    plan = patched(entry("volumes: [{name: logs, emptyDir: {medium: Memory}}]"))
    assert {"name": "logs", "emptyDir": {"medium": "Memory"}} in spec(plan)["volumes"]


def test_a_json_patch_that_does_not_fit_is_refused_with_its_path() -> None:
    with pytest.raises(PlanError) as refused:
        patched(entry('[{"op": "remove", "path": "/nodeSelector/disk"}]', "json"))
    assert refused.value.message == (
        'runners.kubernetes.pod_spec[0] "mine" cannot be applied to the pod of this job: '
        "path /nodeSelector/disk does not exist"
    )


def test_what_a_patch_sets_is_not_in_the_sentence_about_it() -> None:
    with pytest.raises(PlanError) as refused:
        patched(entry("containers: [{name: build, env: [{value: hunter2}]}]"))
    assert refused.value.message.endswith("map: [value] does not contain declared merge key: name")


def test_a_patch_may_be_in_a_file_that_is_read_for_each_job(tmp_path: Path) -> None:
    file = tmp_path / "patch.yaml"
    entries = (PodSpecPatch(name="file", patch_path=str(file)),)
    with pytest.raises(PatchError, match=r'pod_spec\[0\] "file": cannot read .*No such file'):
        patchfiles.load(entries)
    for hostname in ("one", "two"):
        file.write_text(f"hostname: {hostname}\n")
        assert spec(with_patches(pod_plan(), patchfiles.load(entries)))["hostname"] == hostname
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(PatchError, match="is not UTF-8"):
        patchfiles.load(entries)
    file.write_text("- a\n")
    with pytest.raises(PatchError, match=f"the patch in {file} is not a mapping of fields"):
        patchfiles.load(entries)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            {"patch": "a: b", "patch_type": "deep"},
            ': "deep" is not a patch type | use one of strategic, merge, json',
        ),
        (
            {"patch": "a: b", "patch_path": "/x"},
            ": both patch and patch_path are given: the patch is ambiguous | remove one of them",
        ),
        ({"patch": " \n"}, ": neither patch nor patch_path is given | None"),
        (
            {"patch": "a: [b"},
            ": the patch is not YAML: did not find expected ',' or ']' in line 2, column 1 | None",
        ),
        ({"patch": "just text"}, ": the patch is not a mapping of fields | None"),
        (
            {"patch": "[{op: remove, path: /a}]"},
            (
                ": the patch is not a mapping of fields: a list of operations has patch_type = "
                '"json" | None'
            ),
        ),
        ({"patch": "a: !!binary aGk="}, ": the patch cannot be JSON: there is a bytes | None"),
        ({"patch": "a: .inf"}, ": the patch cannot be JSON: inf is no number of JSON | None"),
        ({"patch": "a: &x {b: *x}"}, ": the patch refers to itself | None"),
        (
            {"patch": "a: b", "patch_type": "json"},
            ": the patch is not a list of operations | None",
        ),
        (
            {"patch": "[{op: put, path: /a}]", "patch_type": "json"},
            (
                ": the patch has an operation ([0]) that is not one of add, replace, test, move, copy, "
                "remove: 'put' | None"
            ),
        ),
        (
            {"patch": "[{op: remove, path: a}]", "patch_type": "json"},
            (
                ": the patch has an operation ([0]) that has no path that begins with a slash: 'a' | "
                "None"
            ),
        ),
        (
            {"patch": "[{op: move, path: /a}]", "patch_type": "json"},
            (
                ": the patch has an operation ([0]) that has no from that begins with a slash: None | "
                "None"
            ),
        ),
        (
            {"patch": "[{op: add, path: /a}]", "patch_type": "json"},
            ": the patch has an operation ([0]) that has no value to add | None",
        ),
    ],
)
def test_a_bad_patch_is_found_with_the_settings_by_its_name(
    table: dict[str, str], said: str
) -> None:
    good = entry("hostname: a")
    assert findings(good, {"name": "bad", **table}) == [
        f'runners.kubernetes.pod_spec[1] "bad"{said}'
    ]


def test_dates_are_text_and_keys_are_text() -> None:
    plan = patched(entry("nodeSelector: {day: 2026-01-02, 2: two, true: yes}"))
    assert spec(plan)["nodeSelector"] == {"day": "2026-01-02", "2": "two", "true": True}
