"""What an ID token says of a job: GitLab's claims (``lib/gitlab/ci/jwt_v2.rb``). Pure.

Source: https://docs.gitlab.com/ci/secrets/id_token_authentication/#token-payload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from podlane.compiler.variables.expansion import expand
from podlane.coordinator.dispatch.predefined import USER_LOGIN, JobFacts
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.model.pipeline import IdToken

CLAIMS = (
    "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "namespace_id", "namespace_path", "project_id",
    "project_path", "user_id", "user_login", "user_email", "user_access_level", "job_project_id",
    "job_project_path", "job_namespace_id", "job_namespace_path", "pipeline_id", "pipeline_source",
    "job_id", "ref", "ref_type", "ref_path", "ref_protected", "environment", "environment_protected",
    "deployment_tier", "environment_action", "runner_id", "runner_environment", "sha",
    "project_visibility", "ci_config_ref_uri", "ci_config_sha",
)  # fmt: skip
_NOT_BEFORE_SECONDS = 5
# GitLab's guess from an environment's name, first match.
_TIERS = (
    ("development", r"dev|review|trunk"),
    ("testing", r"test|tst|int|ac(ce|)pt|qa|qc|control|quality"),
    ("staging", r"st(a|)g|mod(e|)l|pre|demo|non"),
    ("production", r"pr(o|)d|live"),
)


def claims(facts: JobFacts, token: IdToken, *, values: Mapping[str, str], jti: str) -> JsonObject:
    """Return the payload of one token. ``values`` are the job's variables, for the audience."""
    snapshot = facts.snapshot
    ref_type = "tag" if snapshot.is_tag else "branch"
    now = int(facts.started_at)
    path = snapshot.project_path
    audience: Json = (
        expand(token.aud, values)
        if isinstance(token.aud, str)
        else [expand(one, values) for one in token.aud]
    )
    return {
        "iss": facts.server_url,
        "sub": f"project_path:{path}:ref_type:{ref_type}:ref:{snapshot.ref}",
        "aud": audience,
        "iat": now,
        "nbf": now - _NOT_BEFORE_SECONDS,
        "exp": now + facts.timeout_seconds,
        "jti": jti,
        **_project(facts),
        **{f"job_{key}": value for key, value in _project(facts).items()},
        "user_id": "1",
        "user_login": USER_LOGIN,
        "user_email": "",
        "user_access_level": "owner",
        "pipeline_id": str(facts.pipeline_id),
        "pipeline_source": facts.source_kind,
        "job_id": str(facts.job_id),
        "ref": snapshot.ref,
        "ref_type": ref_type,
        "ref_path": _ref_path(facts),
        "ref_protected": "true" if snapshot.protected else "false",
        **_environment(facts),
        "runner_id": facts.runner_id,
        "runner_environment": "self-hosted",
        "sha": snapshot.sha,
        "project_visibility": "private",
        **_configuration(facts),
    }


def _project(facts: JobFacts) -> JsonObject:
    path = facts.snapshot.project_path
    return {
        "project_id": str(facts.project_id),
        "project_path": path,
        "namespace_id": "1",
        "namespace_path": path.rpartition("/")[0],
    }


def _ref_path(facts: JobFacts) -> str:
    kind = "tags" if facts.snapshot.is_tag else "heads"
    return f"refs/{kind}/{facts.snapshot.ref}"


def _environment(facts: JobFacts) -> JsonObject:
    environment = facts.job.environment
    if environment is None:
        return {}
    return {
        "environment": environment.name,
        "environment_protected": "false",
        "deployment_tier": environment.tier or tier_of(environment.name),
        "environment_action": environment.action,
    }


def tier_of(name: str) -> str:
    """Return the tier that GitLab takes an environment for."""
    return next(
        (tier for tier, pattern in _TIERS if re.search(pattern, name, re.IGNORECASE)), "other"
    )


def _configuration(facts: JobFacts) -> JsonObject:
    """Return where the configuration is; a child's, made of includes, is nowhere."""
    if facts.is_child:
        return {}
    parts = urlsplit(facts.server_url)
    path = facts.snapshot.project_path
    return {
        "ci_config_ref_uri": (
            f"{parts.netloc}{parts.path}/{path}//{facts.config_file}@{_ref_path(facts)}"
        ),
        "ci_config_sha": facts.snapshot.sha,
    }
