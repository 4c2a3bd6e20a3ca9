"""Registry credentials of the job, as an image pull secret's content."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from podlane.model.job import Credentials
from podlane.model.variables import Variables


def docker_config(credentials: Iterable[Credentials], variables: Variables) -> str | None:
    """Return ``.dockerconfigjson``, or None when the job brings no credentials.

    ``DOCKER_AUTH_CONFIG`` wins over the job's own credentials, registry by registry.
    """
    auths: dict[str, object] = {}
    for entry in credentials:
        if entry.type == "registry" and entry.url:
            auths[entry.url] = {
                "username": entry.username,
                "password": entry.password,
                "auth": base64.b64encode(f"{entry.username}:{entry.password}".encode()).decode(),
            }
    auths.update(_from_variable(variables.value("DOCKER_AUTH_CONFIG")))
    return json.dumps({"auths": auths}) if auths else None


def _from_variable(raw: str) -> dict[str, object]:
    try:
        decoded: object = json.loads(raw) if raw else {}
    except ValueError:
        return {}
    auths = decoded.get("auths") if isinstance(decoded, dict) else None
    return auths if isinstance(auths, dict) else {}
