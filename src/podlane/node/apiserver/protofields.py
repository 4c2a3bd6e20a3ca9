"""The field numbers of objects in Kubernetes' protobuf form.

Source: the ``generated.proto`` files of ``k8s.io/api/core/v1`` and ``k8s.io/apimachinery``. A type is a
simple one, ``[type]`` for a list, a :class:`Map`, or the fields of a message by number. Under
the name ``""`` are messages whose fields belong to the one around them.

Go writes fields that are no pointers even when nobody set them. In simple types, ``number`` and
``bool`` are such ones (0 and false are left out), ``number?`` and ``bool?`` are pointers (0 was meant);
of strings, empty ones are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Map:
    """A map from strings to values of a simple type."""

    values: str


Kind: TypeAlias = "str | Map | list[Kind] | Message"
Message: TypeAlias = "dict[int, tuple[str, Kind]]"


def _of(kind: str, named: dict[int, str]) -> Message:
    """Return fields of one type."""
    return {number: (name, kind) for number, name in named.items()}


_STRINGS: Kind = ["string"]
_STRING_MAP = Map("string")
_BYTES_MAP = Map("bytes")
_QUANTITIES = Map("quantity")
_LOCAL_REF: Message = _of("string", {1: "name"})
_NAMED: Message = {1: ("", _LOCAL_REF)}
_PAIR: Message = _of("string", {1: "name", 2: "value"})
_OBJECT_REF: Message = _of(
    "string",
    {1: "kind", 2: "namespace", 3: "name", 4: "uid", 5: "apiVersion", 6: "resourceVersion"},
)
_OWNER: Message = {
    **_of("string", {1: "kind", 3: "name", 4: "uid", 5: "apiVersion"}),
    **_of("bool?", {6: "controller", 7: "blockOwnerDeletion"}),
}
_METADATA: Message = {
    **_of("string", {1: "name", 2: "generateName", 3: "namespace", 5: "uid", 6: "resourceVersion"}),
    11: ("labels", _STRING_MAP),
    12: ("annotations", _STRING_MAP),
    13: ("ownerReferences", [_OWNER]),
    14: ("finalizers", _STRINGS),
}
_TOP: Message = {1: ("metadata", _METADATA)}

# Affinity.
_EXPRESSIONS: Kind = [{**_of("string", {1: "key", 2: "operator"}), 3: ("values", _STRINGS)}]
_NODE_TERM: Message = {1: ("matchExpressions", _EXPRESSIONS), 2: ("matchFields", _EXPRESSIONS)}
_LABEL_SELECTOR: Message = {1: ("matchLabels", _STRING_MAP), 2: ("matchExpressions", _EXPRESSIONS)}
_POD_TERM: Message = {
    1: ("labelSelector", _LABEL_SELECTOR),
    2: ("namespaces", _STRINGS),
    3: ("topologyKey", "string"),
    4: ("namespaceSelector", _LABEL_SELECTOR),
    5: ("matchLabelKeys", _STRINGS),
    6: ("mismatchLabelKeys", _STRINGS),
}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NODE_AFFINITY: Message = {
    1: (_REQUIRED, {1: ("nodeSelectorTerms", [_NODE_TERM])}),
    2: (_PREFERRED, [{1: ("weight", "number"), 2: ("preference", _NODE_TERM)}]),
}
_POD_AFFINITY: Message = {
    1: (_REQUIRED, [_POD_TERM]),
    2: (_PREFERRED, [{1: ("weight", "number"), 2: ("podAffinityTerm", _POD_TERM)}]),
}
_AFFINITY: Message = {
    1: ("nodeAffinity", _NODE_AFFINITY),
    2: ("podAffinity", _POD_AFFINITY),
    3: ("podAntiAffinity", _POD_AFFINITY),
}

# Containers.
_FIELD_REF: Message = _of("string", {1: "apiVersion", 2: "fieldPath"})
_RESOURCE_REF: Message = {
    **_of("string", {1: "containerName", 2: "resource"}),
    3: ("divisor", "quantity"),
}
_KEY_REF: Message = {**_NAMED, 2: ("key", "string"), 3: ("optional", "bool?")}
_ENV: Message = {
    **_PAIR,
    3: (
        "valueFrom",
        {
            1: ("fieldRef", _FIELD_REF),
            2: ("resourceFieldRef", _RESOURCE_REF),
            3: ("configMapKeyRef", _KEY_REF),
            4: ("secretKeyRef", _KEY_REF),
        },
    ),
}
_ENV_SOURCE: Message = {**_NAMED, 2: ("optional", "bool?")}
_ENV_FROM: Message = {
    1: ("prefix", "string"),
    2: ("configMapRef", _ENV_SOURCE),
    3: ("secretRef", _ENV_SOURCE),
}
_RESOURCES: Message = {
    1: ("limits", _QUANTITIES),
    2: ("requests", _QUANTITIES),
    3: ("claims", [_of("string", {1: "name", 2: "request"})]),
}
_SIMPLE_HANDLERS: Message = {
    1: ("exec", {1: ("command", _STRINGS)}),
    2: (
        "httpGet",
        {
            **_of("string", {1: "path", 3: "host", 4: "scheme"}),
            2: ("port", "intstr"),
            5: ("httpHeaders", [_PAIR]),
        },
    ),
    3: ("tcpSocket", {1: ("port", "intstr"), 2: ("host", "string")}),
}
_HANDLER: Message = {**_SIMPLE_HANDLERS, 4: ("sleep", {1: ("seconds", "number")})}
_GRPC: Message = {1: ("port", "number"), 2: ("service", "string")}
_PROBE: Message = {
    1: ("", {**_SIMPLE_HANDLERS, 4: ("grpc", _GRPC)}),
    **_of("number", {2: "initialDelaySeconds", 3: "timeoutSeconds", 4: "periodSeconds"}),
    **_of("number", {5: "successThreshold", 6: "failureThreshold"}),
    7: ("terminationGracePeriodSeconds", "number?"),
}
_SE_LINUX: Message = _of("string", {1: "user", 2: "role", 3: "type", 4: "level"})
_PROFILE: Message = _of("string", {1: "type", 2: "localhostProfile"})
_SECURITY: Message = {
    1: ("capabilities", {1: ("add", _STRINGS), 2: ("drop", _STRINGS)}),
    **_of("bool?", {2: "privileged", 5: "runAsNonRoot", 6: "readOnlyRootFilesystem"}),
    3: ("seLinuxOptions", _SE_LINUX),
    **_of("number?", {4: "runAsUser", 8: "runAsGroup"}),
    7: ("allowPrivilegeEscalation", "bool?"),
    9: ("procMount", "string"),
    11: ("seccompProfile", _PROFILE),
    12: ("appArmorProfile", _PROFILE),
}
_CONTAINER: Message = {
    **_of("string", {1: "name", 2: "image", 5: "workingDir", 24: "restartPolicy"}),
    **_of("string", {13: "terminationMessagePath", 20: "terminationMessagePolicy"}),
    **_of("string", {14: "imagePullPolicy"}),
    **_of("bool", {16: "stdin", 17: "stdinOnce", 18: "tty"}),
    3: ("command", _STRINGS),
    4: ("args", _STRINGS),
    6: (
        "ports",
        [
            {
                **_of("string", {1: "name", 4: "protocol", 5: "hostIP"}),
                **_of("number", {2: "hostPort", 3: "containerPort"}),
            }
        ],
    ),
    7: ("env", [_ENV]),
    8: ("resources", _RESOURCES),
    9: (
        "volumeMounts",
        [
            {
                **_of("string", {1: "name", 3: "mountPath", 4: "subPath", 5: "mountPropagation"}),
                **_of("string", {6: "subPathExpr", 7: "recursiveReadOnly"}),
                2: ("readOnly", "bool"),
            }
        ],
    ),
    10: ("livenessProbe", _PROBE),
    11: ("readinessProbe", _PROBE),
    22: ("startupProbe", _PROBE),
    12: (
        "lifecycle",
        {1: ("postStart", _HANDLER), 2: ("preStop", _HANDLER), 3: ("stopSignal", "string")},
    ),
    15: ("securityContext", _SECURITY),
    19: ("envFrom", [_ENV_FROM]),
    21: ("volumeDevices", [_of("string", {1: "name", 2: "devicePath"})]),
}

# Volumes.
_ITEMS: Kind = [{**_of("string", {1: "key", 2: "path"}), 3: ("mode", "number?")}]
_DOWNWARD_ITEMS: Kind = [
    {
        1: ("path", "string"),
        2: ("fieldRef", _FIELD_REF),
        3: ("resourceFieldRef", _RESOURCE_REF),
        4: ("mode", "number?"),
    }
]
_PROJECTED_MAP: Message = {**_NAMED, 2: ("items", _ITEMS), 4: ("optional", "bool?")}
_TOKEN: Message = {
    **_of("string", {1: "audience", 3: "path"}),
    2: ("expirationSeconds", "number?"),
}
_PROJECTION: Message = {
    1: ("secret", _PROJECTED_MAP),
    2: ("downwardAPI", {1: ("items", _DOWNWARD_ITEMS)}),
    3: ("configMap", _PROJECTED_MAP),
    4: ("serviceAccountToken", _TOKEN),
    5: ("clusterTrustBundle", {}),
}
_CLAIM_SPEC: Message = {
    1: ("accessModes", _STRINGS),
    2: ("resources", {1: ("limits", _QUANTITIES), 2: ("requests", _QUANTITIES)}),
    3: ("volumeName", "string"),
    4: ("selector", _LABEL_SELECTOR),
    5: ("storageClassName", "string"),
    6: ("volumeMode", "string"),
    7: ("dataSource", {}),
    8: ("dataSourceRef", {}),
    9: ("volumeAttributesClassName", "string"),
}
_VOLUME_SOURCE: Message = {
    1: ("hostPath", _of("string", {1: "path", 2: "type"})),
    2: ("emptyDir", {1: ("medium", "string"), 2: ("sizeLimit", "quantity")}),
    6: (
        "secret",
        {
            1: ("secretName", "string"),
            2: ("items", _ITEMS),
            3: ("defaultMode", "number?"),
            4: ("optional", "bool?"),
        },
    ),
    7: ("nfs", {**_of("string", {1: "server", 2: "path"}), 3: ("readOnly", "bool")}),
    10: ("persistentVolumeClaim", {1: ("claimName", "string"), 2: ("readOnly", "bool")}),
    16: ("downwardAPI", {1: ("items", _DOWNWARD_ITEMS), 2: ("defaultMode", "number?")}),
    19: (
        "configMap",
        {**_PROJECTED_MAP, 3: ("defaultMode", "number?")},
    ),
    28: (
        "csi",
        {
            **_of("string", {1: "driver", 3: "fsType"}),
            2: ("readOnly", "bool?"),
            4: ("volumeAttributes", _STRING_MAP),
            5: ("nodePublishSecretRef", _LOCAL_REF),
        },
    ),
    29: (
        "ephemeral",
        {1: ("volumeClaimTemplate", {1: ("metadata", _METADATA), 2: ("spec", _CLAIM_SPEC)})},
    ),
    26: ("projected", {1: ("sources", [_PROJECTION]), 2: ("defaultMode", "number?")}),
}
# Kinds that a node of ours refuses: that they are there is what counts.
_OTHER_SOURCES = {
    3: "gcePersistentDisk", 4: "awsElasticBlockStore", 5: "gitRepo", 8: "iscsi",
    9: "glusterfs", 11: "rbd", 12: "flexVolume", 13: "cinder", 14: "cephfs", 15: "flocker", 17: "fc",
    18: "azureFile", 20: "vsphereVolume", 21: "quobyte", 22: "azureDisk",
    23: "photonPersistentDisk", 24: "portworxVolume", 25: "scaleIO", 27: "storageos",
    30: "image",
}  # fmt: skip
_NOTHING: Message = {}
_VOLUME: Message = {
    1: ("name", "string"),
    2: ("", {**_VOLUME_SOURCE, **{n: (name, _NOTHING) for n, name in _OTHER_SOURCES.items()}}),
}

# Pods.
_POD_SECURITY: Message = {
    1: ("seLinuxOptions", _SE_LINUX),
    **_of("number?", {2: "runAsUser", 5: "fsGroup", 6: "runAsGroup"}),
    3: ("runAsNonRoot", "bool?"),
    4: ("supplementalGroups", ["number?"]),
    7: ("sysctls", [_PAIR]),
    **_of("string", {9: "fsGroupChangePolicy", 12: "supplementalGroupsPolicy"}),
    10: ("seccompProfile", _PROFILE),
    11: ("appArmorProfile", _PROFILE),
    13: ("seLinuxChangePolicy", "string"),
}
_TOLERATION: Message = {
    **_of("string", {1: "key", 2: "operator", 3: "value", 4: "effect"}),
    5: ("tolerationSeconds", "number?"),
}
_DNS: Message = {1: ("nameservers", _STRINGS), 2: ("searches", _STRINGS), 3: ("options", [_PAIR])}
_POD_SPEC: Message = {
    **_of("string", {3: "restartPolicy", 6: "dnsPolicy", 8: "serviceAccountName"}),
    **_of("string", {9: "serviceAccount", 10: "nodeName", 16: "hostname", 17: "subdomain"}),
    **_of("string", {19: "schedulerName", 24: "priorityClassName", 29: "runtimeClassName"}),
    **_of("string", {31: "preemptionPolicy"}),
    **_of("number?", {4: "terminationGracePeriodSeconds", 5: "activeDeadlineSeconds"}),
    **_of("number?", {25: "priority"}),
    **_of("bool", {11: "hostNetwork", 12: "hostPID", 13: "hostIPC"}),
    **_of(
        "bool?", {37: "hostUsers", 21: "automountServiceAccountToken", 27: "shareProcessNamespace"}
    ),
    **_of("bool?", {30: "enableServiceLinks", 35: "setHostnameAsFQDN"}),
    1: ("volumes", [_VOLUME]),
    2: ("containers", [_CONTAINER]),
    7: ("nodeSelector", _STRING_MAP),
    14: ("securityContext", _POD_SECURITY),
    15: ("imagePullSecrets", [_LOCAL_REF]),
    18: ("affinity", _AFFINITY),
    20: ("initContainers", [_CONTAINER]),
    22: ("tolerations", [_TOLERATION]),
    23: ("hostAliases", [{1: ("ip", "string"), 2: ("hostnames", _STRINGS)}]),
    26: ("dnsConfig", _DNS),
    28: ("readinessGates", [_of("string", {1: "conditionType"})]),
    32: ("overhead", _QUANTITIES),
    36: ("os", _LOCAL_REF),
    38: ("schedulingGates", [_LOCAL_REF]),
    40: ("resources", _RESOURCES),
}
_SERVICE_SPEC: Message = {
    **_of("string", {3: "clusterIP", 4: "type", 10: "externalName"}),
    1: (
        "ports",
        [
            {
                **_of("string", {1: "name", 2: "protocol", 6: "appProtocol"}),
                **_of("number", {3: "port", 5: "nodePort"}),
                4: ("targetPort", "intstr"),
            }
        ],
    ),
    2: ("selector", _STRING_MAP),
}
QUANTITY: Message = {1: ("string", "string")}
INT_OR_STRING: Message = {1: ("type", "number"), 2: ("number", "number?"), 3: ("string", "string")}
TYPE_META: Message = _of("string", {1: "apiVersion", 2: "kind"})
_DELETE_OPTIONS: Message = {
    1: ("gracePeriodSeconds", "number?"),
    2: ("preconditions", _of("string", {1: "uid", 2: "resourceVersion"})),
    3: ("orphanDependents", "bool?"),
    4: ("propagationPolicy", "string"),
    5: ("dryRun", _STRINGS),
}
KINDS: dict[str, Message] = {
    "Pod": {**_TOP, 2: ("spec", _POD_SPEC)},
    "ConfigMap": {
        **_TOP,
        2: ("data", _STRING_MAP),
        3: ("binaryData", _BYTES_MAP),
        4: ("immutable", "bool?"),
    },
    "Secret": {
        **_TOP,
        2: ("data", _BYTES_MAP),
        3: ("type", "string"),
        4: ("stringData", _STRING_MAP),
        5: ("immutable", "bool?"),
    },
    "Namespace": _TOP,
    "Service": {**_TOP, 2: ("spec", _SERVICE_SPEC)},
    "ServiceAccount": {
        **_TOP,
        2: ("secrets", [_OBJECT_REF]),
        3: ("imagePullSecrets", [_LOCAL_REF]),
        4: ("automountServiceAccountToken", "bool?"),
    },
    "PodDisruptionBudget": {
        **_TOP,
        2: (
            "spec",
            {
                1: ("minAvailable", "intstr"),
                2: ("selector", _LABEL_SELECTOR),
                3: ("maxUnavailable", "intstr"),
                4: ("unhealthyPodEvictionPolicy", "string"),
            },
        ),
    },
    "PersistentVolumeClaim": {
        **_TOP,
        2: ("spec", _CLAIM_SPEC),
    },
    "Eviction": {**_TOP, 2: ("deleteOptions", _DELETE_OPTIONS)},
    "DeleteOptions": _DELETE_OPTIONS,
}
