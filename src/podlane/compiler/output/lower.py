"""A decided job to the model's ``PipelineJob``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Mapping

from podlane.compiler.keywords import (
    artifacts,
    control,
    environment,
    image,
    jobinputs,
    needs,
    script,
    secrets,
    tokens,
    trigger,
    values,
)
from podlane.compiler.keywords.job import is_bridge
from podlane.compiler.output.cachekeys import CacheKeys
from podlane.compiler.output.notices import taken_group
from podlane.compiler.selection.decide import Decision
from podlane.compiler.selection.graph import stage_of
from podlane.compiler.source import Map, Node, Seq
from podlane.compiler.variables.expansion import expand
from podlane.model.job import Artifact, Hook, Variable
from podlane.model.pipeline import DeploymentEnvironment, Need, PipelineJob

_MAX_SLUG = 24
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def lower_job(decision: Decision, cache_keys: CacheKeys, present: Container[str]) -> PipelineJob:
    """Return an included job as the model's; links to jobs that are not ``present`` are dropped."""
    job = decision.job.written
    expanded = decision.values.expanded()
    retry = job.get("retry")
    group = job.get("resource_group")
    id_tokens = tokens.lower_id_tokens(job.get("id_tokens"))
    coverage, confirmation = job.get("coverage"), job.get("manual_confirmation")
    return PipelineJob(
        name=decision.job.name,
        bridge=is_bridge(job),
        trigger=trigger.lower_trigger(
            job.get("trigger"), decision.variables, job.value_at("trigger")
        ),
        group=decision.job.group,
        node_index=decision.job.index,
        node_total=decision.job.total,
        stage=stage_of(job),
        script=script.commands(job.get("script")),
        before_script=script.commands(job.get("before_script")),
        after_script=script.commands(job.get("after_script")),
        hooks=_hooks(job.get("hooks")),
        id_tokens=id_tokens,
        secrets=secrets.lower_secrets(job.get("secrets"), expanded, tuple(id_tokens)),
        image=image.lower_image(job.get("image")),
        services=image.lower_services(job.get("services")),
        variables=_layered(decision.variables, decision.project_variables),
        when=decision.when,
        start_in_seconds=decision.start_in_seconds,
        manual_confirmation=confirmation if isinstance(confirmation, str) else "",
        allow_failure=decision.allow_failure,
        needs=_present_needs(decision.needs, present),
        pipeline_needs=needs.lower_pipeline_needs(job.get("needs")),
        dependencies=_present(decision.job.dependencies, present),
        artifacts=_artifacts(decision.job.group, job, expanded),
        cache=cache_keys.lower(job.get("cache")),
        tags=tuple(
            expand(tag, decision.seen, keep_undefined=True)
            for tag in values.strings(job.get("tags"))
        ),
        timeout_seconds=control.seconds(job.get("timeout")),
        retry_max=control.retry_max(retry),
        retry_when=control.retry_when(retry),
        retry_exit_codes=control.integers(retry.get("exit_codes"))
        if isinstance(retry, Map)
        else (),
        interruptible=decision.interruptible,
        environment=_environment(job.get("environment"), expanded),
        resource_group=taken_group(decision) if group is not None else "",
        coverage=coverage if isinstance(coverage, str) else "",
        inputs=jobinputs.lower_job_inputs(job.get("inputs")),
    )


def _layered(*layers: tuple[Variable, ...]) -> tuple[Variable, ...]:
    return tuple({one.key: one for layer in layers for one in layer}.values())


def _present_needs(
    needs: tuple[Need, ...] | None, present: Container[str]
) -> tuple[Need, ...] | None:
    return None if needs is None else tuple(need for need in needs if need.job in present)


def _present(names: tuple[str, ...] | None, present: Container[str]) -> tuple[str, ...] | None:
    return None if names is None else tuple(name for name in names if name in present)


def _hooks(value: Node) -> tuple[Hook, ...]:
    before = value.get("pre_get_sources_script") if isinstance(value, Map) else None
    commands = script.commands(before)
    return (Hook(name="pre_get_sources_script", script=commands),) if commands else ()


def _artifacts(name: str, job: Map, variables: Mapping[str, str]) -> tuple[Artifact, ...]:
    value = job.get("artifacts")
    if environment.is_pages(name, job) and not is_bridge(job):
        written = value.copied() if isinstance(value, Map) else Map()
        paths, path = (
            values.strings(written.get("paths")),
            expand(environment.publish_path(job), variables),
        )
        written["paths"] = Seq(None, paths if path in paths else [*paths, path])
        value = written
    return artifacts.lower_artifacts(value)


def _environment(value: Node, variables: Mapping[str, str]) -> DeploymentEnvironment | None:
    found = environment.environment_of(value)
    if found is None:
        return None

    def text(key: str) -> str:
        item = found.get(key)
        return expand(item, variables) if isinstance(item, str) else ""

    name = text("name")
    slug = environment_slug(name)
    own = {"CI_ENVIRONMENT_NAME": name, "CI_ENVIRONMENT_SLUG": slug}
    url = found.get("url")
    if isinstance(url, str):  # what stays may come from the job itself, by a dotenv report
        url = expand(expand(url, own, keep_undefined=True), variables, keep_undefined=True)
    return DeploymentEnvironment(
        name=name,
        slug=slug,
        url=url if isinstance(url, str) else "",
        action=text("action") or "start",
        tier=text("deployment_tier"),
        on_stop=text("on_stop"),
        auto_stop_in=text("auto_stop_in"),
    )


def environment_slug(name: str) -> str:
    """Return ``CI_ENVIRONMENT_SLUG``: at most 24 characters, unique by a suffix where it was changed."""
    slug = re.sub(r"[^a-z0-9]", "-", name.lower())
    if not slug[:1].isalpha():
        slug = f"env-{slug}"
    slug = re.sub(r"-+", "-", slug)
    if len(slug) <= _MAX_SLUG and slug == name:
        return slug.removesuffix("-")
    head = slug[:17]
    return head + ("" if head.endswith("-") else "-") + _base36_sha256(name)[-6:]


def _base36_sha256(text: str) -> str:
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _BASE36[rest] + digits
    return digits
