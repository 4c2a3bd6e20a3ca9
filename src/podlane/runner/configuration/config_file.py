"""Read ``config.toml`` (runner-protocol section 8): the official file, every key accounted for.

An unknown key is an error with a suggestion, a key that we do not do yet is said to have no effect,
everything else lands in ``settings``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.kit.clock import from_rfc3339
from podlane.kit.diagnostics import Diagnostic, Place
from podlane.kit.errors import UsageError
from podlane.kit.jsonvalue import Json, JsonObject, obj
from podlane.model.job import Variable
from podlane.model.variables import Variables
from podlane.runner.configuration import feature_flags, pod_patches
from podlane.runner.configuration.config_cache import read_cache
from podlane.runner.configuration.config_monitoring import read_monitoring
from podlane.runner.configuration.found_tls import with_found_tls
from podlane.runner.configuration.settings import (
    DEFAULT_BUILDS_DIR,
    DEFAULT_CHECK_INTERVAL_SECONDS,
    DEFAULT_CONNECTION_MAX_AGE_SECONDS,
    DEFAULT_OUTPUT_LIMIT_KIB,
    GlobalSettings,
    RunnerScripts,
    RunnerSettings,
    SessionServerSettings,
    TlsSettings,
)
from podlane.runner.configuration.toml_table import Findings, Table, full_name, lines_of
from podlane.runner.configuration.toml_table import Path as KeyPath

_GLOBAL_NOT_YET = {
    "sentry_dsn": "errors are in the log only",
    "user": "it matters for shell executors only",
    "experimental": "there is no usage log",
    "machine": "it matters for docker+machine only",
}
_RUNNER_NOT_YET = {
    "proxy_exec": "::add-mask:: has no effect",
    "referees": "no metrics are collected for jobs",
    "experimental": "no job is run before polling",
    "use_slot_cgroups": "it matters for docker only",
    "slot_cgroup_template": "it matters for docker only",
    "step_runner_image": "native steps are not supported",
}
_RUNNER_REMOVED = {
    "tls-skip-verify": "certificates are always checked; name the CA in tls-ca-file",
    "disable_verbose": "remove it",
}
_OTHER_EXECUTORS = (
    "docker", "machine", "autoscaler", "instance", "ssh", "parallels", "virtualbox", "custom",
)  # fmt: skip
# GitLab Runner's levels that Python names otherwise.
LOG_LEVELS = {"warn": "warning", "fatal": "critical", "panic": "critical"}
DEFAULT_SESSION_TIMEOUT_SECONDS = 1800
_SHELLS = frozenset({"", "bash", "sh"})


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file that the official runner reads when none is named."""
    if named := environ.get("CONFIG_FILE"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/etc/gitlab-runner/config.toml")
    home = environ.get("HOME", "")
    return Path(home) / ".gitlab-runner" / "config.toml" if home else Path("config.toml")


def load_config(path: Path) -> tuple[GlobalSettings, tuple[Diagnostic, ...]]:
    """Read a file; with errors among the diagnostics nothing may run.

    Raises:
        UsageError: there is no such file, or it cannot be read.
    """
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        hint = "name another with --config, or set CONFIG_FILE"
        raise UsageError(f"cannot read {path}: {error.strerror}", hint=hint) from error
    settings, found = read_config(text, str(path), environ=os.environ)
    beside = path.absolute().parent
    runners = tuple(with_found_tls(runner, beside) for runner in settings.runners)
    return replace(settings, runners=runners), found


def read_config(
    text: str, file: str, *, environ: Mapping[str, str]
) -> tuple[GlobalSettings, tuple[Diagnostic, ...]]:
    """Return the settings in ``text`` and everything that is wrong with it."""
    try:
        raw: Json = msgspec.json.decode(msgspec.json.encode(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as error:
        finding = Diagnostic(code="toml-syntax", message=str(error), place=_place_of(error, file))
        return GlobalSettings(runners=()), (finding,)
    findings = Findings(file, lines_of(text))
    settings = _global(Table(obj(raw), (), findings), findings, environ)
    return settings, tuple(sorted(findings.diagnostics, key=lambda found: found.place.line))


def _place_of(error: tomllib.TOMLDecodeError, file: str) -> Place:
    words = str(error).rstrip(")").replace(",", "").split()
    if "line" not in words or "column" not in words:
        return Place(file=file)
    line, column = words[words.index("line") + 1], words[words.index("column") + 1]
    return Place(file=file, line=int(line), column=int(column))


def _global(table: Table, findings: Findings, environ: Mapping[str, str]) -> GlobalSettings:
    concurrent = table.number("concurrent", 1)
    if concurrent < 1:
        table.error("concurrent", "setting-value", "must be at least 1")
        concurrent = 1
    interval = float(table.number("check_interval", 0))
    level = _one_of(table, "log_level", ("info", "debug", "error", "warning", *LOG_LEVELS))
    labels = tuple(_labels(table))
    max_age = table.seconds("connection_max_age", DEFAULT_CONNECTION_MAX_AGE_SECONDS)
    _log_fields(table)
    settings = GlobalSettings(
        concurrent=concurrent,
        check_interval_seconds=interval if interval > 0 else DEFAULT_CHECK_INTERVAL_SECONDS,
        shutdown_timeout_seconds=float(_positive(table, "shutdown_timeout", 30)),
        log_level=LOG_LEVELS.get(level, level),
        log_format=_one_of(table, "log_format", ("runner", "text", "json")),
        labels=labels,
        listen_address=table.text("listen_address"),
        session_server=_session_server(table.table("session_server")),
        runners=tuple(_runner(entry, findings, environ) for entry in table.tables("runners")),
    )
    table.no_effect(_GLOBAL_NOT_YET)
    table.no_effect({"metrics_server": "write listen_address"}, removed=True)
    table.finish()
    merged = [
        replace(
            runner, labels=tuple({**dict(labels), **dict(runner.labels)}.items()),
            connection_max_age_seconds=max_age,
        )
        for runner in settings.runners
    ]  # fmt: skip
    return replace(settings, runners=tuple(merged))


def _log_fields(table: Table) -> None:
    """Check which names GitLab Runner's log would have; ours has its own."""
    version = table.number("log_field_schema_version", 0)
    target = table.number("log_field_dual_emit_target", 0)
    for key, number in (
        ("log_field_schema_version", version),
        ("log_field_dual_emit_target", target),
    ):
        if number < 0:
            table.error(key, "setting-value", "must be at least 0")
        elif number:
            table.no_effect({key: "the log has its field names: job, project, runner, runner_name"})
    if 0 < target <= version:
        message = f"must be greater than log_field_schema_version ({version})"
        table.error("log_field_dual_emit_target", "setting-value", message)


def _positive(table: Table, key: str, default: int) -> int:
    """Return a number; like GitLab Runner, take the default for 0 and less."""
    number = table.number(key, default)
    return number if number > 0 else default


def _one_of(table: Table, key: str, known: tuple[str, ...]) -> str:
    """Return one of the known words, the first for what is none of them."""
    word = table.text(key).lower() or known[0]
    if word not in known:
        hint = f"use one of {', '.join(known)}"
        table.error(key, "setting-value", f'"{word}" is not known', hint)
        return known[0]
    return word


def _session_server(table: Table) -> SessionServerSettings:
    """Read ``[session_server]``: without an address it is off, as GitLab Runner writes it by itself."""
    usual, listen = DEFAULT_SESSION_TIMEOUT_SECONDS, table.text("listen_address")
    patience = table.number("session_timeout", usual)
    if listen and patience not in (0, usual):  # the usual one GitLab Runner writes by itself
        table.no_effect({"session_timeout": "a terminal ends with its job"})
    advertise = table.text("advertise_address") or listen
    table.finish()
    for key, address in (("listen_address", listen), ("advertise_address", advertise)):
        host, _, port = address.rpartition(":")
        good = port.isascii() and port.isdigit() and (host or key == "listen_address")
        if listen and not good:
            hint = "write it like runner.example.com:8093"
            table.error(key, "setting-value", f'"{address}" is no host with a port', hint)
            return SessionServerSettings()
    return SessionServerSettings(listen_address=listen, advertise_address=advertise)


def _runner(table: Table, findings: Findings, environ: Mapping[str, str]) -> RunnerSettings:
    known = Variables(Variable(key=k, value=v, raw=True) for k, v in environ.items())
    executor = table.text("executor")
    settings = RunnerSettings(
        name=table.text("name"),
        url=known.expand(table.text("url")),
        token=known.expand(table.text("token")),
        id=table.number("id", 0),
        token_obtained_at=from_rfc3339(table.text("token_obtained_at")),
        token_expires_at=from_rfc3339(table.text("token_expires_at")),
        executor=executor,
        shell=table.text("shell"),
        limit=table.number("limit", 0),
        request_concurrency=table.number("request_concurrency", 1),
        strict_check_interval=table.flag("strict_check_interval", default=False),
        unhealthy_requests_limit=_positive(table, "unhealthy_requests_limit", 3),
        unhealthy_interval_seconds=table.seconds("unhealthy_interval", 3600.0),
        output_limit_kib=_positive(table, "output_limit", DEFAULT_OUTPUT_LIMIT_KIB),
        final_update_tries=_positive(table, "job_status_final_update_retry_limit", 10),
        builds_dir=table.text("builds_dir") or DEFAULT_BUILDS_DIR,
        clone_url=table.text("clone_url"),
        environment=_environment(table),
        scripts=_scripts(table),
        tls=TlsSettings(
            ca_file=table.text("tls-ca-file"),
            cert_file=table.text("tls-cert-file"),
            key_file=table.text("tls-key-file"),
        ),
        prepare_timeout_seconds=table.seconds("prepare_timeout", 0.0),
        get_sources_timeout_seconds=table.seconds("get_sources_timeout", 0.0),
        debug_trace_disabled=table.flag("debug_trace_disabled", default=False),
        safe_directory_checkout=table.flag("safe_directory_checkout", default=True),
        clean_git_config=table.flag("clean_git_config", default=True),
        cache=read_cache(table),
        feature_flags=tuple(_feature_flags(table)),
        labels=tuple(_labels(table)),
        queuing_durations=read_monitoring(table),
        executor_table=_kubernetes(table, findings),
    )
    settings = _sub_tables(table, settings)
    _tell(table, findings, pod_patches.problems(settings, findings.place(table.path)))
    _check(table, settings)
    if executor == "kubernetes":
        table.ignore(_OTHER_EXECUTORS)
    table.no_effect(_RUNNER_NOT_YET)
    table.no_effect(_RUNNER_REMOVED, removed=True)
    table.finish()
    return settings


def _check(table: Table, settings: RunnerSettings) -> None:
    for key in ("url", "token"):
        if not getattr(settings, key):
            table.error(key, "setting-missing", "must be given")
    if settings.executor != "kubernetes":
        message = (
            f'"{settings.executor}" is not supported' if settings.executor else "must be given"
        )
        table.error(
            "executor", "setting-value", message, 'Podlane has one: executor = "kubernetes"'
        )
    if settings.shell not in _SHELLS:
        hint = "remove it: bash is used where the image has it, else sh"
        table.error("shell", "setting-value", f'"{settings.shell}" is not supported', hint)
    if not settings.builds_dir.startswith("/"):
        table.error("builds_dir", "setting-value", "must be an absolute path in the pod")


def _sub_tables(table: Table, settings: RunnerSettings) -> RunnerSettings:
    artifact, builds = table.table("artifact"), table.table("custom_build_dir")
    result = replace(
        settings,
        artifact_upload_timeout=artifact.text("upload_timeout", settings.artifact_upload_timeout),
        artifact_response_header_timeout=artifact.text(
            "response_header_timeout", settings.artifact_response_header_timeout
        ),
        custom_build_dir_enabled=builds.flag("enabled", default=True),
    )
    artifact.finish()
    builds.finish()
    return result


def _scripts(table: Table) -> RunnerScripts:
    return RunnerScripts(
        pre_get_sources=table.text("pre_get_sources_script") or table.text("pre_clone_script"),
        post_get_sources=table.text("post_get_sources_script") or table.text("post_clone_script"),
        pre_build=table.text("pre_build_script"),
        post_build=table.text("post_build_script"),
    )


def _environment(table: Table) -> tuple[Variable, ...]:
    result = []
    for entry in table.texts("environment"):
        key, equals, value = entry.partition("=")
        if not key or not equals:
            table.error("environment", "setting-value", f"{entry!r} is not KEY=value")
            continue
        result.append(Variable(key=key, value=value, public=True))
    return tuple(result)


def _feature_flags(table: Table) -> list[tuple[str, bool]]:
    flags = table.table("feature_flags")
    given = table.raw("feature_flags")
    result = [
        (name, flags.flag(name, default=default))
        for name, default in feature_flags.DEFAULTS.items()
        if name in given
    ]
    flags.ignore(feature_flags.DEFAULTS)
    flags.finish(exact=True)
    return result


def _labels(table: Table) -> list[tuple[str, str]]:
    return [(key, value) for key, value in table.raw("labels").items() if isinstance(value, str)]


def _kubernetes(table: Table, findings: Findings) -> JsonObject:
    data = table.raw("kubernetes")
    _, problems = decode_settings(data, findings.place((*table.path, "kubernetes")))
    _tell(table, findings, problems)
    return data


def _tell(table: Table, findings: Findings, problems: list[Diagnostic]) -> None:
    """Add findings about ``[runners.kubernetes]`` with the places of the keys that they begin with."""
    path = (*table.path, "kubernetes")
    prefix = full_name(path) + "."
    for problem in problems:
        key = problem.message.removeprefix(prefix).split(" ")[0].split(":")[0]
        place = findings.place((*path, *_path_of(key)))
        findings.diagnostics.append(replace(problem, place=place))


def _path_of(key: str) -> KeyPath:
    """Return ``autoscaler.policy[1].periods`` in parts."""
    words = re.findall(r"[^.\[\]]+", key)
    return tuple(int(word) if word.isdecimal() else word for word in words)
