"""GitLab's predefined variables that rules, includes and the workflow can see, computed from values.

What only exists while a job runs (ids, tokens, paths) is the coordinator's and the runner's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from podlane.compiler.context import Context
from podlane.compiler.facts import GitFacts, MergeRequest, Server

VERSION = "18.11.0"
_ZEROS = "0" * 40
_SLUG_LENGTH = 63
_TITLE_LIMIT = 100
_MESSAGE_LIMIT = 100_000
_NO_MESSAGE = "No commit message"
_DESCRIPTION_LIMIT = 2700
# GitLab's own expression; its \\b is a backspace, as it stands in brackets.
_NUMBERED = re.compile(r"(?:[\b\s:]+(?:\[.*\]|\d+[\s:/\\]+\d+)){1,3}\s*\Z")


def slug(raw: str) -> str:
    """Return GitLab's slug: lower case, ``[a-z0-9-]``, at most 63, no dash at the ends."""
    lowered = "".join(c if c.isascii() and c.isalnum() else "-" for c in raw.lower())
    return lowered[:_SLUG_LENGTH].strip("-")


def group_name(job: str) -> str:
    """Return a job's name without the numbers and matrix values at its end, as GitLab groups jobs."""
    return _NUMBERED.sub("", job).strip()


def pipeline_variables(context: Context) -> dict[str, str]:
    """Return the predefined variables of a pipeline; the context's own replace computed ones."""
    git = context.git
    server, request = context.server, context.merge_request
    return {
        **dict(_server(server)),
        **dict(_project(context, server, git)),
        **dict(_commit(context, git)),
        **dict(_pipeline(context, server)),
        **(dict(_merge_request(request, server, git.default_branch)) if request else {}),
        **context.predefined,
    }


def _server(server: Server) -> Iterator[tuple[str, str]]:
    major, minor, patch = VERSION.split(".")
    yield from {
        "CI": "true",
        "GITLAB_CI": "true",
        "GITLAB_FEATURES": "",
        "CI_SERVER_HOST": server.host,
        "CI_SERVER_FQDN": server.fqdn,
        "CI_SERVER_PORT": server.port,
        "CI_SERVER_PROTOCOL": server.protocol,
        "CI_SERVER_URL": server.url,
        "CI_SERVER_SHELL_SSH_HOST": server.host,
        "CI_SERVER_SHELL_SSH_PORT": "22",
        "CI_SERVER_NAME": "GitLab",
        "CI_SERVER_VERSION": VERSION,
        "CI_SERVER_VERSION_MAJOR": major,
        "CI_SERVER_VERSION_MINOR": minor,
        "CI_SERVER_VERSION_PATCH": patch,
        "CI_SERVER_REVISION": "podlane",
        "CI_API_V4_URL": f"{server.url}/api/v4",
        "CI_API_GRAPHQL_URL": f"{server.url}/api/graphql",
        "CI_TEMPLATE_REGISTRY_HOST": "registry.gitlab.com",
    }.items()


def _project(context: Context, server: Server, git: GitFacts) -> Iterator[tuple[str, str]]:
    namespace, _, name = server.path.rpartition("/")
    proxy = f"{server.host}:{server.port}"
    yield from {
        "CI_PROJECT_ID": "1",
        "CI_PROJECT_PATH": server.path,
        "CI_PROJECT_NAME": name,
        "CI_PROJECT_TITLE": name,
        "CI_PROJECT_DESCRIPTION": "",
        "CI_PROJECT_NAMESPACE": namespace,
        "CI_PROJECT_NAMESPACE_ID": "1",
        "CI_PROJECT_NAMESPACE_SLUG": slug(namespace),
        "CI_PROJECT_ROOT_NAMESPACE": namespace.partition("/")[0],
        "CI_PROJECT_PATH_SLUG": slug(server.path),
        "CI_PROJECT_URL": f"{server.url}/{server.path}",
        "CI_PROJECT_VISIBILITY": "private",
        "CI_PROJECT_REPOSITORY_LANGUAGES": "",
        "CI_PROJECT_CLASSIFICATION_LABEL": "",
        "CI_CONFIG_PATH": context.config_path,
        "CI_DEFAULT_BRANCH": git.default_branch,
        "CI_DEFAULT_BRANCH_SLUG": slug(git.default_branch),
        "CI_REGISTRY": f"registry.{server.host}",
        "CI_REGISTRY_IMAGE": f"registry.{server.host}/{server.path.lower()}",
        "CI_PROJECT_TOPICS": "",
        "CI_DEPENDENCY_PROXY_SERVER": proxy,
        "CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX": _proxied(proxy, namespace.partition("/")[0]),
        "CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX": _proxied(proxy, namespace),
    }.items()


def message_variables(message: str) -> Iterator[tuple[str, str]]:
    """Yield what is said of a commit's message (GitLab's ``Commit``), each at most 100,000 bytes.

    The description is all behind the title's line, the blank line in between included.
    """
    title, description = _NO_MESSAGE, _NO_MESSAGE
    if message.strip():
        title = re.split(r"[\r\n]", message, maxsplit=1)[0]
        description = re.sub(r"(?:\r\n|\r|\n)\Z", "", message.partition("\n")[2])
    if len(title) >= _TITLE_LIMIT:
        description = message
    yield "CI_COMMIT_MESSAGE", _cut(message)
    yield "CI_COMMIT_MESSAGE_IS_TRUNCATED", str(len(message.encode()) > _MESSAGE_LIMIT).lower()
    yield "CI_COMMIT_TITLE", _cut(title)
    yield "CI_COMMIT_DESCRIPTION", _cut(description)


def _cut(text: str) -> str:
    return text.encode()[:_MESSAGE_LIMIT].decode(errors="ignore")


def _proxied(proxy: str, group: str) -> str:
    return f"{proxy}/{group.lower()}/dependency_proxy/containers"  # Docker wants lower case


def _commit(context: Context, git: GitFacts) -> Iterator[tuple[str, str]]:
    sha = git.sha or context.sha
    yield "CI_COMMIT_SHA", sha
    yield "CI_COMMIT_SHORT_SHA", sha[:8]
    yield "CI_COMMIT_BEFORE_SHA", git.before_sha or _ZEROS
    yield "CI_COMMIT_REF_NAME", context.ref
    yield "CI_COMMIT_REF_SLUG", slug(context.ref)
    yield "CI_COMMIT_REF_PROTECTED", "true" if context.on_protected_ref else "false"
    if context.tag:
        yield "CI_COMMIT_TAG", context.ref
        yield "CI_COMMIT_TAG_MESSAGE", git.tag_message
    elif context.merge_request is None:
        yield "CI_COMMIT_BRANCH", context.ref
    yield from message_variables(git.message)
    yield "CI_COMMIT_TIMESTAMP", git.committed_at
    yield "CI_COMMIT_AUTHOR", git.author
    yield "CI_COMMIT_USER_LOGIN", ""  # of a GitLab user with this e-mail address; none is known


def _pipeline(context: Context, server: Server) -> Iterator[tuple[str, str]]:
    git = context.git
    yield "CI_PIPELINE_SOURCE", context.source
    yield "CI_PIPELINE_IID", "1"
    yield (
        "CI_CONFIG_REF_URI",
        f"{server.fqdn}/{server.path}//{context.config_path}@{_ref_path(context)}",
    )
    if context.source == "trigger":
        yield "CI_PIPELINE_TRIGGERED", "true"
    if context.source == "schedule":
        yield "CI_PIPELINE_SCHEDULE_DESCRIPTION", context.schedule_description
    yield "GITLAB_USER_NAME", git.user_name
    yield "GITLAB_USER_EMAIL", git.user_email
    yield "GITLAB_USER_LOGIN", git.user_email.partition("@")[0]
    yield "GITLAB_USER_ID", "1"


def _ref_path(context: Context) -> str:
    return f"refs/tags/{context.ref}" if context.tag else f"refs/heads/{context.ref}"


def _merge_request(
    request: MergeRequest, server: Server, protected_branch: str
) -> Iterator[tuple[str, str]]:
    url = f"{server.url}/{server.path}"

    def protected(branch: str) -> str:
        return str(branch == protected_branch).lower()

    yield from {
        "CI_MERGE_REQUEST_ID": str(request.iid),
        "CI_MERGE_REQUEST_IID": str(request.iid),
        "CI_MERGE_REQUEST_REF_PATH": f"refs/merge-requests/{request.iid}/head",
        "CI_MERGE_REQUEST_PROJECT_ID": "1",
        "CI_MERGE_REQUEST_PROJECT_PATH": server.path,
        "CI_MERGE_REQUEST_PROJECT_URL": url,
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": server.path,
        "CI_MERGE_REQUEST_SOURCE_PROJECT_URL": url,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": request.source_branch,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_PROTECTED": protected(request.source_branch),
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": request.target_branch,
        "CI_MERGE_REQUEST_TARGET_BRANCH_PROTECTED": protected(request.target_branch),
        "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": "",
        "CI_MERGE_REQUEST_DIFF_ID": "1",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": request.base_sha,
        "CI_MERGE_REQUEST_TITLE": request.title,
        "CI_MERGE_REQUEST_DESCRIPTION": request.description[:_DESCRIPTION_LIMIT],
        "CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED": str(
            len(request.description) > _DESCRIPTION_LIMIT
        ).lower(),
        "CI_MERGE_REQUEST_APPROVED": "false",
        "CI_MERGE_REQUEST_DRAFT": str(request.draft).lower(),
        "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
        "CI_MERGE_REQUEST_SQUASH_ON_MERGE": "false",
        "CI_OPEN_MERGE_REQUESTS": f"{server.path}!{request.iid}",
    }.items()
    if request.labels:
        yield "CI_MERGE_REQUEST_LABELS", ",".join(request.labels)
