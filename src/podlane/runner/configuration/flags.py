"""The settings of a ``[[runners]]`` entry as options and environment variables (section 8.4).

One table, from which the commands are made. An option's name is GitLab Runner's with dashes; commands
accept underscores in their place, because GitLab Runner mixes them.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from podlane.executors.kubernetes.settings import official_keys
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.errors import UsageError
from podlane.kit.jsonvalue import Json, JsonObject


class Kind(StrEnum):
    """How an option's text becomes a value."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    LIST = "list"
    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One setting. ``path`` is where it stands below ``[[runners]]``."""

    option: str
    variable: str
    path: tuple[str, ...]
    kind: Kind

    @property
    def key(self) -> str:
        """The setting's name in the file."""
        return ".".join(("runners", *self.path))

    @property
    def repeatable(self) -> bool:
        """Whether the option may be given more than once."""
        return self.kind in (Kind.LIST, Kind.TABLE)


# path in the file, kind, environment variable, option when it is not the path with dashes
_ROWS = """
name                                text    RUNNER_NAME
url                                 text    CI_SERVER_URL
token                               text    CI_SERVER_TOKEN
tls-ca-file                         text    CI_SERVER_TLS_CA_FILE
tls-cert-file                       text    CI_SERVER_TLS_CERT_FILE
tls-key-file                        text    CI_SERVER_TLS_KEY_FILE
executor                            text    RUNNER_EXECUTOR
limit                               number  RUNNER_LIMIT
output_limit                        number  RUNNER_OUTPUT_LIMIT
request_concurrency                 number  RUNNER_REQUEST_CONCURRENCY
strict_check_interval               flag    RUNNER_STRICT_CHECK_INTERVAL
unhealthy_requests_limit            number  RUNNER_UNHEALTHY_REQUESTS_LIMIT
unhealthy_interval                  text    RUNNER_UNHEALTHY_INTERVAL
job_status_final_update_retry_limit number  RUNNER_job_status_final_update_retry_limit
builds_dir                          text    RUNNER_BUILDS_DIR
cache_dir                           text    RUNNER_CACHE_DIR
clone_url                           text    CLONE_URL
environment                         list    RUNNER_ENV env
pre_get_sources_script              text    RUNNER_PRE_GET_SOURCES_SCRIPT
post_get_sources_script             text    RUNNER_POST_GET_SOURCES_SCRIPT
pre_build_script                    text    RUNNER_PRE_BUILD_SCRIPT
post_build_script                   text    RUNNER_POST_BUILD_SCRIPT
proxy_exec                          flag    RUNNER_PROXY_EXEC
prepare_timeout                     text    RUNNER_PREPARE_TIMEOUT
get_sources_timeout                 text    RUNNER_GET_SOURCES_TIMEOUT
debug_trace_disabled                flag    RUNNER_DEBUG_TRACE_DISABLED
safe_directory_checkout             flag    RUNNER_SAFE_DIRECTORY_CHECKOUT
clean_git_config                    flag    RUNNER_CLEAN_GIT_CONFIG
shell                               text    RUNNER_SHELL
use_slot_cgroups                    flag    RUNNER_USE_SLOT_CGROUPS
slot_cgroup_template                text    RUNNER_SLOT_CGROUP_TEMPLATE
step_runner_image                   text    STEP_RUNNER_IMAGE
labels                              table   RUNNER_LABELS
feature_flags                       table   FEATURE_FLAGS
custom_build_dir.enabled            flag    CUSTOM_BUILD_DIR_ENABLED
artifact.upload_timeout             text    ARTIFACT_UPLOAD_TIMEOUT
artifact.response_header_timeout    text    ARTIFACT_RESPONSE_HEADER_TIMEOUT
cache.Type                          text    CACHE_TYPE
cache.Path                          text    CACHE_PATH
cache.Shared                        flag    CACHE_SHARED
cache.MaxUploadedArchiveSize        number  CACHE_MAXIMUM_UPLOADED_ARCHIVE_SIZE
cache.RedactURL                     flag    CACHE_REDACT_URL
cache.s3.ServerAddress              text    CACHE_S3_SERVER_ADDRESS
cache.s3.AccessKey                  text    CACHE_S3_ACCESS_KEY
cache.s3.SecretKey                  text    CACHE_S3_SECRET_KEY
cache.s3.SessionToken               text    CACHE_S3_SESSION_TOKEN
cache.s3.BucketName                 text    CACHE_S3_BUCKET_NAME
cache.s3.BucketLocation             text    CACHE_S3_BUCKET_LOCATION
cache.s3.Insecure                   flag    CACHE_S3_INSECURE
cache.s3.AuthenticationType         text    CACHE_S3_AUTHENTICATION_TYPE
cache.s3.ServerSideEncryption       text    CACHE_S3_SERVER_SIDE_ENCRYPTION
cache.s3.ServerSideEncryptionKeyID  text    CACHE_S3_SERVER_SIDE_ENCRYPTION_KEY_ID
cache.s3.DualStack                  flag    CACHE_S3_DUAL_STACK
cache.s3.PathStyle                  flag    CACHE_S3_PATH_STYLE
cache.s3.Accelerate                 flag    CACHE_S3_ACCELERATE
cache.s3.RoleARN                    text    CACHE_S3_ROLE_ARN
cache.s3.UploadRoleARN              text    CACHE_S3_UPLOAD_ROLE_ARN
cache.s3.AssumeRoleMaxConcurrency   number  CACHE_S3_ASSUME_ROLE_MAX_CONCURRENCY
cache.s3.DisableAssumeRoleCredentialsCaching flag CACHE_S3_DISABLE_ASSUME_ROLE_CREDENTIALS_CACHING
cache.gcs.AccessID                  text    CACHE_GCS_ACCESS_ID
cache.gcs.PrivateKey                text    CACHE_GCS_PRIVATE_KEY
cache.gcs.CredentialsFile           text    GOOGLE_APPLICATION_CREDENTIALS
cache.gcs.BucketName                text    CACHE_GCS_BUCKET_NAME
cache.gcs.UniverseDomain            text    CACHE_GCS_UNIVERSE_DOMAIN
cache.azure.AccountName             text    CACHE_AZURE_ACCOUNT_NAME
cache.azure.AccountKey              text    CACHE_AZURE_ACCOUNT_KEY
cache.azure.ContainerName           text    CACHE_AZURE_CONTAINER_NAME
cache.azure.StorageDomain           text    CACHE_AZURE_STORAGE_DOMAIN
"""
_OTHER_VARIABLES = {
    "context": "KUBECTL_CONTEXT",
    "retry_limit": "KUBERNETES_REQUEST_RETRY_LIMIT",
    "retry_backoff_max": "KUBERNETES_REQUEST_RETRY_BACKOFF_MAX",
}
_OTHER_EXECUTORS = frozenset(
    {"autoscaler", "custom", "docker", "instance", "machine", "parallels", "ssh", "virtualbox"}
)
# Tables that are given whole, as JSON: their parts are lists of tables.
_AS_JSON = frozenset({"affinity"})
_SECRET = frozenset({"token", "SecretKey", "SessionToken", "PrivateKey", "AccountKey"})


def runner_flags() -> list[Flag]:
    """Return all settings, those of ``[runners.kubernetes]`` last."""
    rows = [line.split() for line in _ROWS.strip().splitlines()]
    plain = [
        _flag(tuple(row[0].split(".")), Kind(row[1]), row[2], row[3] if len(row) == 4 else None)  # noqa: PLR2004 - the columns above
        for row in rows
    ]
    return [*plain, *_struct_flags(KubernetesSettings, ("kubernetes",))]


def not_yet() -> list[str]:
    """Return the options of GitLab Runner's executor for settings that are not supported."""
    return [f"--kubernetes-{_dashed(key)}" for key in sorted(official_keys.NOT_YET)]


def of_other_executors(option: str) -> str:
    """Return the executor that an option of GitLab Runner belongs to, "" for none of these."""
    word, _, more = option.removeprefix("--").partition("-")
    return word if more and word in _OTHER_EXECUTORS else ""


def not_supported(environ: Mapping[str, str]) -> list[str]:
    """Return the variables of GitLab Runner that are set and that nothing here obeys."""
    names = [
        _OTHER_VARIABLES.get(key, f"KUBERNETES_{key.upper()}")
        for key in sorted(official_keys.NOT_YET)
    ]
    return [name for name in names if environ.get(name)]


def _flag(path: tuple[str, ...], kind: Kind, variable: str, option: str | None = None) -> Flag:
    words = [_dashed(part) for part in path]
    return Flag(option=f"--{option or '-'.join(words)}", variable=variable, path=path, kind=kind)


def _dashed(name: str) -> str:
    """Return ``ServerSideEncryptionKeyID`` as ``server-side-encryption-key-id``."""
    text = ""
    for index, char in enumerate(name):
        follows_small = index > 0 and name[index - 1].islower()
        text += f"-{char}" if char.isupper() and follows_small else char
    return text.lower().replace("_", "-")


def _struct_flags(struct: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[Flag]:
    for name, declared in typing.get_type_hints(struct).items():
        if name not in struct.__struct_fields__:
            continue
        kind, inner = _kind_of(declared)
        here = (*path, name)
        if inner is not None and name not in _AS_JSON:
            yield from _struct_flags(inner, here)
            continue
        variable = _OTHER_VARIABLES.get(name) or "_".join(here).upper()
        yield _flag(here, kind, variable)


def _kind_of(declared: object) -> tuple[Kind, type[msgspec.Struct] | None]:
    """Return how to read a field of this type, or the table that it is."""
    members = (
        [member for member in typing.get_args(declared) if member is not types.NoneType]
        if isinstance(declared, types.UnionType)
        else [declared]
    )
    first: object = members[-1]
    if isinstance(first, type) and issubclass(first, msgspec.Struct):
        return Kind.TABLE, first
    simple = {bool: Kind.FLAG, int: Kind.NUMBER, str: Kind.TEXT}
    for known, kind in simple.items():
        if first is known:
            return kind, None
    if typing.get_origin(first) is dict:
        return Kind.TABLE, None
    arguments = typing.get_args(first)
    return (Kind.LIST if arguments and arguments[0] is str else Kind.JSON), None


# --- values -------------------------------------------------------------------------------------


def parse(flag: Flag, given: tuple[str, ...]) -> Json:
    """Return the value of what was given for an option, or in its variable.

    Raises:
        UsageError: it is not of the setting's kind; secrets are not repeated.
    """
    text = given[-1]
    try:
        match flag.kind:
            case Kind.TEXT:
                return text
            case Kind.NUMBER:
                return int(text)
            case Kind.FLAG:
                return boolean(text)
            case Kind.LIST:
                return _list(given)
            case Kind.TABLE:
                return _mapping(flag, given)
            case Kind.JSON:
                value: Json = msgspec.json.decode(text)
                return value
    except (ValueError, msgspec.DecodeError) as error:
        shown = "what was given" if flag.path[-1] in _SECRET else repr(text)
        raise UsageError(
            f"{flag.option} (or {flag.variable}): {shown} is not {_WANTED[flag.kind]}"
        ) from error


_WANTED = {
    Kind.TEXT: "a text",
    Kind.NUMBER: "a whole number",
    Kind.FLAG: "true or false",
    Kind.LIST: "a list",
    Kind.TABLE: "a JSON object, or key=value",
    Kind.JSON: "JSON",
}


def boolean(text: str) -> bool:
    """Return what Go reads as a boolean.

    Raises:
        ValueError: it is none.
    """
    if text.lower() in {"1", "t", "true"}:
        return True
    if text.lower() in {"0", "f", "false"}:
        return False
    raise ValueError(text)


def _list(given: tuple[str, ...]) -> Json:
    if len(given) == 1 and given[0].startswith("["):
        value: list[Json] = msgspec.json.decode(given[0], type=list)
        return value
    return list(given)


def _mapping(flag: Flag, given: tuple[str, ...]) -> Json:
    if len(given) == 1 and given[0].startswith("{"):
        value: JsonObject = msgspec.json.decode(given[0], type=dict)
        return value
    table: JsonObject = {}
    for pair in given:
        key, separator, text = pair.partition("=" if "=" in pair else ":")
        if not separator or not key:
            raise ValueError(pair)
        table[key] = _VALUES.get(flag.path, str)(text)
    return table


# Of tables whose values are no texts.
_VALUES: Mapping[tuple[str, ...], Callable[[str], Json]] = {
    ("feature_flags",): boolean,
    ("kubernetes", "retry_limits"): int,
}


def words(text: str) -> tuple[str, ...]:
    """Return the parts of a variable for a repeatable option: a JSON document, or between commas."""
    if text.startswith(("[", "{")):
        return (text,)
    return tuple(part.strip() for part in text.split(",") if part.strip())


def entry_of(values: Mapping[tuple[str, ...], Json]) -> JsonObject:
    """Return the ``[[runners]]`` entry that has these values at these paths."""
    entry: JsonObject = {}
    for path, value in values.items():
        place = entry
        for word in path[:-1]:
            inner = place.setdefault(word, {})
            assert isinstance(inner, dict)
            place = inner
        place[path[-1]] = value
    return entry


def merged(under: JsonObject, over: JsonObject) -> JsonObject:
    """Return ``under`` with everything that ``over`` has, table by table."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        result[key] = merged(below, value) if both else value  # type: ignore[arg-type] # both are tables
    return result
