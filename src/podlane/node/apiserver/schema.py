"""The fields that objects may have, and their types: strict decoding as Kubernetes does it.

A schema is a type name, ``[schema]`` for a list, ``{"*": schema}`` for a map, or a mapping of fields.
Kinds that are missing here, and fields of type ``any``, are taken as they come.
"""

from __future__ import annotations

from typing import TypeAlias

from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kube import errors

Schema: TypeAlias = "str | list[Schema] | dict[str, Schema]"
Fields: TypeAlias = "dict[str, Schema]"


def _fields(**named: str) -> Fields:
    """Return fields of simple types: ``string="a b", integer="c"``."""
    return {name: kind for kind, names in named.items() for name in names.split()}


_STRINGS: Schema = ["string"]
_STRING_MAP: Schema = {"*": "string"}
_QUANTITIES: Schema = {"*": "quantity"}
_KEY: Fields = _fields(string="name key", boolean="optional")
_FIELD_REF: Fields = _fields(string="apiVersion fieldPath")
_RESOURCE_REF: Fields = _fields(string="containerName resource", quantity="divisor")
_LOCAL_REF: Fields = _fields(string="name")
_KEY_TO_PATH: Schema = [_fields(string="key path", integer="mode")]
_METADATA: Fields = {
    **_fields(
        string="name generateName namespace uid resourceVersion selfLink creationTimestamp "
        "deletionTimestamp",
        integer="generation deletionGracePeriodSeconds",
        any="managedFields",
    ),
    "labels": _STRING_MAP,
    "annotations": _STRING_MAP,
    "finalizers": _STRINGS,
    "ownerReferences": [
        _fields(string="apiVersion kind name uid", boolean="controller blockOwnerDeletion")
    ],
}
_TOP: Fields = {**_fields(string="apiVersion kind"), "metadata": _METADATA}
_EXEC: Fields = {"command": _STRINGS}
_HTTP_GET: Fields = {
    **_fields(string="path host scheme", intstr="port"),
    "httpHeaders": [_fields(string="name value")],
}
_HANDLER: Fields = {
    "exec": _EXEC,
    "httpGet": _HTTP_GET,
    "tcpSocket": _fields(string="host", intstr="port"),
    "sleep": _fields(integer="seconds"),
}
_PROBE: Fields = {
    **_HANDLER,
    "grpc": _fields(integer="port", string="service"),
    **_fields(
        integer="initialDelaySeconds timeoutSeconds periodSeconds successThreshold "
        "failureThreshold terminationGracePeriodSeconds"
    ),
}
_SECURITY_SHARED: Fields = {
    **_fields(integer="runAsUser runAsGroup", boolean="runAsNonRoot"),
    "seLinuxOptions": _fields(string="user role type level"),
    "seccompProfile": _fields(string="type localhostProfile"),
    "appArmorProfile": _fields(string="type localhostProfile"),
    "windowsOptions": "any",
}
_SECURITY: Fields = {
    **_SECURITY_SHARED,
    **_fields(
        boolean="privileged readOnlyRootFilesystem allowPrivilegeEscalation", string="procMount"
    ),
    "capabilities": {"add": _STRINGS, "drop": _STRINGS},
}
_POD_SECURITY: Fields = {
    **_SECURITY_SHARED,
    **_fields(
        integer="fsGroup", string="fsGroupChangePolicy supplementalGroupsPolicy seLinuxChangePolicy"
    ),
    "supplementalGroups": ["integer"],
    "sysctls": [_fields(string="name value")],
}
_CONTAINER: Fields = {
    **_fields(
        string="name image workingDir imagePullPolicy terminationMessagePath "
        "terminationMessagePolicy restartPolicy targetContainerName",
        boolean="stdin stdinOnce tty",
        any="resizePolicy",
    ),
    "command": _STRINGS,
    "args": _STRINGS,
    "ports": [_fields(string="name protocol hostIP", integer="containerPort hostPort")],
    "env": [
        {
            **_fields(string="name value"),
            "valueFrom": {
                "fieldRef": _FIELD_REF,
                "resourceFieldRef": _RESOURCE_REF,
                "configMapKeyRef": _KEY,
                "secretKeyRef": _KEY,
            },
        }
    ],
    "envFrom": [
        {
            **_fields(string="prefix"),
            "configMapRef": _fields(string="name", boolean="optional"),
            "secretRef": _fields(string="name", boolean="optional"),
        }
    ],
    "resources": {
        "limits": _QUANTITIES,
        "requests": _QUANTITIES,
        "claims": [_fields(string="name request")],
    },
    "volumeMounts": [
        _fields(
            string="name mountPath subPath subPathExpr mountPropagation recursiveReadOnly",
            boolean="readOnly",
        )
    ],
    "volumeDevices": [_fields(string="name devicePath")],
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "startupProbe": _PROBE,
    "lifecycle": {"postStart": _HANDLER, "preStop": _HANDLER, "stopSignal": "string"},
    "securityContext": _SECURITY,
}
_SECRET_SOURCE: Fields = {
    **_fields(string="secretName", integer="defaultMode", boolean="optional"),
    "items": _KEY_TO_PATH,
}
_CONFIG_SOURCE: Fields = {
    **_fields(string="name", integer="defaultMode", boolean="optional"),
    "items": _KEY_TO_PATH,
}
_DOWNWARD_ITEMS: Schema = [
    {
        **_fields(string="path", integer="mode"),
        "fieldRef": _FIELD_REF,
        "resourceFieldRef": _RESOURCE_REF,
    }
]
_CLAIM_SPEC: Fields = {
    **_fields(
        string="volumeName storageClassName volumeMode volumeAttributesClassName",
        any="selector dataSource dataSourceRef",
    ),
    "accessModes": _STRINGS,
    "resources": {"limits": _QUANTITIES, "requests": _QUANTITIES},
}
_VOLUME: Fields = {
    "name": "string",
    "emptyDir": _fields(string="medium", quantity="sizeLimit"),
    "hostPath": _fields(string="path type"),
    "secret": _SECRET_SOURCE,
    "configMap": _CONFIG_SOURCE,
    "downwardAPI": {"items": _DOWNWARD_ITEMS, "defaultMode": "integer"},
    "projected": {
        "defaultMode": "integer",
        "sources": [
            {
                "secret": {**_LOCAL_REF, "items": _KEY_TO_PATH, "optional": "boolean"},
                "configMap": {**_LOCAL_REF, "items": _KEY_TO_PATH, "optional": "boolean"},
                "downwardAPI": {"items": _DOWNWARD_ITEMS},
                "serviceAccountToken": _fields(string="audience path", integer="expirationSeconds"),
                "clusterTrustBundle": "any",
            }
        ],
    },
    "persistentVolumeClaim": _fields(string="claimName", boolean="readOnly"),
    "nfs": _fields(string="server path", boolean="readOnly"),
    "csi": {
        **_fields(string="driver fsType", boolean="readOnly"),
        "volumeAttributes": _STRING_MAP,
        "nodePublishSecretRef": _LOCAL_REF,
    },
    "ephemeral": {"volumeClaimTemplate": {"metadata": "any", "spec": _CLAIM_SPEC}},
    **_fields(
        any=" image iscsi glusterfs rbd cephfs cinder fc flexVolume flocker "
        "gcePersistentDisk awsElasticBlockStore azureDisk azureFile gitRepo portworxVolume "
        "photonPersistentDisk quobyte scaleIO storageos vsphereVolume"
    ),
}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_EXPRESSIONS: Schema = [{**_fields(string="key operator"), "values": _STRINGS}]
_NODE_TERM: Fields = {"matchExpressions": _EXPRESSIONS, "matchFields": _EXPRESSIONS}
_LABEL_SELECTOR: Fields = {"matchLabels": _STRING_MAP, "matchExpressions": _EXPRESSIONS}
_POD_TERM: Fields = {
    "labelSelector": _LABEL_SELECTOR,
    "namespaceSelector": _LABEL_SELECTOR,
    "namespaces": _STRINGS,
    "topologyKey": "string",
    "matchLabelKeys": _STRINGS,
    "mismatchLabelKeys": _STRINGS,
}
_POD_AFFINITY: Fields = {
    _REQUIRED: [_POD_TERM],
    _PREFERRED: [{"weight": "integer", "podAffinityTerm": _POD_TERM}],
}
_POD_SPEC: Fields = {
    **_fields(
        string="restartPolicy dnsPolicy nodeName serviceAccountName serviceAccount hostname "
        "subdomain schedulerName priorityClassName preemptionPolicy runtimeClassName",
        integer="terminationGracePeriodSeconds activeDeadlineSeconds priority",
        boolean="hostNetwork hostPID hostIPC hostUsers shareProcessNamespace enableServiceLinks "
        "automountServiceAccountToken setHostnameAsFQDN",
        any="ephemeralContainers topologySpreadConstraints resourceClaims",
    ),
    "affinity": {
        "nodeAffinity": {
            _REQUIRED: {"nodeSelectorTerms": [_NODE_TERM]},
            _PREFERRED: [{"weight": "integer", "preference": _NODE_TERM}],
        },
        "podAffinity": _POD_AFFINITY,
        "podAntiAffinity": _POD_AFFINITY,
    },
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "volumes": [_VOLUME],
    "nodeSelector": _STRING_MAP,
    "securityContext": _POD_SECURITY,
    "imagePullSecrets": [_LOCAL_REF],
    "hostAliases": [{"ip": "string", "hostnames": _STRINGS}],
    "tolerations": [_fields(string="key operator value effect", integer="tolerationSeconds")],
    "dnsConfig": {
        "nameservers": _STRINGS,
        "searches": _STRINGS,
        "options": [_fields(string="name value")],
    },
    "readinessGates": [_fields(string="conditionType")],
    "schedulingGates": [_fields(string="name")],
    "overhead": _QUANTITIES,
    "os": _fields(string="name"),
    "resources": {"limits": _QUANTITIES, "requests": _QUANTITIES},
}
KINDS: dict[str, Fields] = {
    "Pod": {**_TOP, "spec": _POD_SPEC, "status": "any"},
    "Secret": {
        **_TOP,
        **_fields(string="type", boolean="immutable"),
        "data": _STRING_MAP,
        "stringData": _STRING_MAP,
    },
    "ConfigMap": {
        **_TOP,
        "immutable": "boolean",
        "data": _STRING_MAP,
        "binaryData": _STRING_MAP,
    },
    "PodDisruptionBudget": {
        **_TOP,
        "spec": {
            **_fields(intstr="minAvailable maxUnavailable", string="unhealthyPodEvictionPolicy"),
            "selector": {
                "matchLabels": _STRING_MAP,
                "matchExpressions": [{**_fields(string="key operator"), "values": _STRINGS}],
            },
        },
        "status": "any",
    },
    "PersistentVolumeClaim": {
        **_TOP,
        "spec": _CLAIM_SPEC,
        "status": "any",
    },
    "PriorityClass": {
        **_TOP,
        **_fields(integer="value", boolean="globalDefault", string="description preemptionPolicy"),
    },
}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "quantity": (str, int, float),
    "intstr": (str, int),
}
_GO = {"string": "string", "integer": "int64", "boolean": "bool", "quantity": "Quantity"}
_JSON_NAMES = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}


def check(kind: str, entry: JsonObject) -> list[str]:
    """Remove fields that the kind does not have; return their paths.

    Raises:
        errors.InvalidError: a field has the wrong type (400, as Kubernetes answers).
    """
    schema = KINDS.get(kind)
    if schema is None:
        return []
    unknown: list[str] = []
    _check(schema, entry, "", unknown, kind)
    return unknown


def _check(schema: Schema, value: Json, path: str, unknown: list[str], kind: str) -> None:
    if value is None or schema == "any":
        return
    if isinstance(schema, str):
        _check_type(schema, value, path, kind)
    elif isinstance(schema, list):
        if not isinstance(value, list):
            raise _wrong_type(kind, path, value, "array")
        for index, entry in enumerate(value):
            _check(schema[0], entry, f"{path}[{index}]", unknown, kind)
    elif not isinstance(value, dict):
        raise _wrong_type(kind, path, value, "object")
    else:
        _check_fields(schema, value, path, unknown, kind)


def _check_fields(
    schema: Fields, value: JsonObject, path: str, unknown: list[str], kind: str
) -> None:
    everything = schema.get("*")
    for key in list(value):
        inner = f"{path}.{key}" if path else key
        known = everything or schema.get(key)
        if known is None:
            unknown.append(inner)
            del value[key]
        else:
            _check(known, value[key], inner, unknown, kind)


def _check_type(schema: str, value: Json, path: str, kind: str) -> None:
    fits = isinstance(value, _TYPES[schema]) and (
        schema == "boolean" or not isinstance(value, bool)
    )
    if not fits:
        raise _wrong_type(kind, path, value, _GO.get(schema, schema))


def _wrong_type(kind: str, path: str, value: Json, wanted: str) -> errors.ApiError:
    have = _JSON_NAMES.get(type(value), "object")
    return errors.bad_request(
        f'{kind} in version "v1" cannot be handled as a {kind}: json: cannot unmarshal {have} '
        f"into Go struct field {kind}.{path} of type {wanted}"
    )
