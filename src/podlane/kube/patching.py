"""Patches of objects: merge (RFC 7386), JSON (RFC 6902), strategic merge, and apply.

Apply is a strategic merge of the given fields; there is no bookkeeping of field owners, so applying
less later does not remove what was applied before. The merge keys are those of the core types
(``patchStrategy`` and ``patchMergeKey`` in ``k8s.io/api/core/v1``); other lists are replaced.
"""

from __future__ import annotations

from podlane.kit.jsonvalue import Json, JsonObject, items
from podlane.kube import errors

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "secrets": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "conditions": "type",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "topologySpreadConstraints": "topologyKey",
    "schedulingGates": "name",
    "resourceClaims": "name",
    "hostIPs": "ip",
    "addresses": "type",
}
REJECTED = "the server rejected our request due to an error in our request: "
"""How an API server begins its answer to a JSON patch that cannot be done."""
_PORT_KEYS = ("containerPort", "port")
_SETS = ("finalizers",)


def merge(target: Json, patch: Json) -> Json:
    """Return a JSON merge patch applied: null removes, mappings merge, the rest replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target: Json, patch: Json) -> Json:
    """Return a strategic merge patch applied: as ``merge``, but known lists merge by key."""
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    fields = {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) and directive != "replace" else {}
    kept = fields.pop("$retainKeys", None)
    for key, value in fields.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = _without(result.get(name), value)
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _strategic_field(key, result.get(key), value)
    if isinstance(kept, list):
        result = {key: value for key, value in result.items() if key in kept}
    return _with_orders(result, fields, target)


def _with_orders(merged: JsonObject, patch: JsonObject, old: Json) -> JsonObject:
    """Return ``merged`` with its lists as the ``$setElementOrder`` of the patch has them."""
    result = dict(merged)
    for key, order in patch.items():
        directive, _, name = key.partition("/")
        entries = result.get(name)
        if (
            directive == "$setElementOrder"
            and isinstance(order, list)
            and isinstance(entries, list)
        ):
            result[name] = _in_order(entries, order, items(old, name), _merge_key(name, order))
    return result


def _strategic_field(key: str, old: Json, new: Json) -> Json:
    if not isinstance(new, list):
        return strategic(old, new)
    before = old if isinstance(old, list) else []
    if key in _SETS:
        return before + [entry for entry in new if entry not in before]
    name = _merge_key(key, new)
    return _merge_lists(before, new, name) if name else new


def _merge_key(key: str, entries: list[Json]) -> str | None:
    if key != "ports":
        return _MERGE_KEYS.get(key)
    for entry in entries:
        for name in _PORT_KEYS:
            if isinstance(entry, dict) and name in entry:
                return name
    return None


def _merge_lists(old: list[Json], new: list[Json], key: str) -> list[Json]:
    result, given = list(old), []
    replaces = False
    for entry in new:
        if not isinstance(entry, dict):
            raise errors.bad_request("a list that merges by key has an entry that is no mapping")
        directive = entry.get("$patch")
        if directive == "replace":
            replaces = True
            continue
        if key not in entry:
            # The names of its fields only: their values are none of a log's business.
            shown = " ".join(sorted(entry))
            raise errors.bad_request(f"map: [{shown}] does not contain declared merge key: {key}")
        index = _index(result, key, entry[key])
        if directive == "delete":
            if index is not None:
                del result[index]
            continue
        given.append(entry)
        if index is None:
            result.append(strategic({}, entry))
        else:
            result[index] = strategic(result[index], entry)
    if replaces:
        return [strategic({}, entry) for entry in given]
    return _in_order(result, [*given], old, key)


def _in_order(
    entries: list[Json], listed: list[Json], before: list[Json], key: str | None
) -> list[Json]:
    """Return a merged list as an API server orders it (``normalizeElementOrder``).

    What the patch lists keeps the patch's order, the rest its own. Where the old list does not say
    that one of the rest comes first, the next of the patch does: a new container stands in front.
    """
    wanted = [_identity(entry, key) for entry in listed]
    had = [_identity(entry, key) for entry in before]
    patched = [entry for entry in entries if _identity(entry, key) in wanted]
    patched.sort(key=lambda entry: wanted.index(_identity(entry, key)))
    rest = [entry for entry in entries if _identity(entry, key) not in wanted]
    result: list[Json] = []
    for entry in patched:
        here = _identity(entry, key)
        while rest and here in had and _identity(rest[0], key) in had[: had.index(here)]:
            result.append(rest.pop(0))
        result.append(entry)
    return result + rest


def _identity(entry: Json, key: str | None) -> Json:
    return entry.get(key) if key and isinstance(entry, dict) else entry


def _index(entries: list[Json], key: str, value: Json) -> int | None:
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get(key) == value:
            return index
    return None


def _without(old: Json, removed: Json) -> Json:
    if isinstance(old, list) and isinstance(removed, list):
        return [entry for entry in old if entry not in removed]
    return old


def json_patch(target: Json, operations: Json) -> Json:
    """Return a JSON patch applied.

    Raises:
        errors.InvalidError: an operation cannot be done.
    """
    if not isinstance(operations, list):
        raise errors.bad_request("a JSON patch is a list of operations")
    result = target
    for operation in operations:
        if not isinstance(operation, dict):
            raise errors.bad_request("an operation of a JSON patch is a mapping")
        result = _operate(result, operation)
    return result


def _operate(target: Json, operation: JsonObject) -> Json:
    path = _pointer(operation.get("path"))
    match operation.get("op"):
        case "add":
            return _set(target, path, operation.get("value"), insert=True)
        case "replace":
            _at(target, path)
            return _set(target, path, operation.get("value"), insert=False)
        case "remove":
            return _drop(target, path)
        case "test":
            if _at(target, path) != operation.get("value"):
                raise _failed(f"testing path {operation.get('path')} failed")
            return target
        case "copy":
            return _set(target, path, _at(target, _pointer(operation.get("from"))), insert=True)
        case "move":
            source = _pointer(operation.get("from"))
            value = _at(target, source)
            return _set(_drop(target, source), path, value, insert=True)
        case other:
            raise errors.bad_request(f"unknown operation of a JSON patch: {other!r}")


def _failed(why: str) -> errors.ApiError:
    return errors.failure(422, "Invalid", f"{REJECTED}{why}")


def _pointer(raw: Json) -> list[str]:
    """Return the parts of a JSON pointer (RFC 6901)."""
    if not isinstance(raw, str) or (raw and not raw.startswith("/")):
        raise errors.bad_request(f"not a JSON pointer: {raw!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in raw.split("/")[1:]]


def _at(target: Json, path: list[str]) -> Json:
    for part in path:
        if isinstance(target, dict) and part in target:
            target = target[part]
        elif isinstance(target, list) and part.isdigit() and int(part) < len(target):
            target = target[int(part)]
        else:
            raise _failed(f"path /{'/'.join(path)} does not exist")
    return target


def _set(target: Json, path: list[str], value: Json, *, insert: bool) -> Json:
    if not path:
        return value
    part, *rest = path
    if isinstance(target, dict):
        inner = _set(_at(target, [part]), rest, value, insert=insert) if rest else value
        return target | {part: inner}
    if not isinstance(target, list):
        raise _failed(f"/{part} is below a value that has no parts")
    if rest:
        inner = _set(_at(target, [part]), rest, value, insert=insert)
        return [*target[: int(part)], inner, *target[int(part) + 1 :]]
    index = len(target) if part == "-" else int(part) if part.isdigit() else -1
    if not 0 <= index <= len(target):
        raise _failed(f"/{part} is not an index of the list")
    return [*target[:index], value, *target[index + (0 if insert else 1) :]]


def _drop(target: Json, path: list[str]) -> Json:
    _at(target, path)
    if not path:
        raise _failed("the whole object cannot be removed")
    part, *rest = path
    if rest:
        return _set(target, [part], _drop(_at(target, [part]), rest), insert=False)
    if isinstance(target, dict):
        return {key: value for key, value in target.items() if key != part}
    assert isinstance(target, list)
    return [*target[: int(part)], *target[int(part) + 1 :]]
