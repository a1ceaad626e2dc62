"""Workspaces, good and bad: metadata, the fields of the spec that are no lists."""

from tests.unit.api.objects import FULL, HEX64, Case, Object, workspace

_OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"}


def _generated(prefix: str) -> Object:
    return workspace({"name": None, "generateName": prefix})


def _owned(*owners: object) -> Object:
    return workspace({"ownerReferences": list(owners)})


METADATA = (
    Case("no name", {**workspace(), "metadata": {}}, "name"),
    Case("a name of 300 characters", workspace({"name": "a" * 300}), "metadata.name"),
    Case("a name of 253 characters", workspace({"name": "a" * 253})),
    Case("an upper case name", workspace({"name": "Shop"}), "metadata.name"),
    Case("a label with a space", workspace({"labels": {"app": "a b"}}), "metadata.labels"),
    Case("a label key with two slashes", workspace({"labels": {"a/b/c": "d"}}), "metadata.labels"),
    Case("a label that is a number", workspace({"labels": {"app": 1}}), "labels"),
    Case("an annotation that is a number", workspace({"annotations": {"a": 1}}), "annotations"),
    Case("an annotation of 300 KiB", workspace({"annotations": {"a": "b" * 300 * 1024}}), "metadata.annotations"),
    Case("an annotation key in upper case", workspace({"annotations": {"Example.com/A": "b"}})),
    Case("an annotation key with a space", workspace({"annotations": {"a b": "c"}}), "metadata.annotations"),
    Case("a label prefix in upper case", workspace({"labels": {"Example.com/a": "b"}}), "metadata.labels"),
    Case("metadata that is a list", {**workspace(), "metadata": []}, ""),
    *(
        Case(f"{field} that is {value!r}", workspace({field: value}), field)
        for field, value in (
            ("name", 5),
            ("generateName", 5),
            ("namespace", False),
            ("uid", 5),
            ("resourceVersion", 5),
            ("generation", "5"),
            ("generation", 1.5),
            ("generation", 2**63),
            ("deletionGracePeriodSeconds", "5"),
            ("creationTimestamp", 5),
            ("selfLink", []),
            ("labels", []),
            ("annotations", "a"),
            ("finalizers", "x"),
            ("finalizers", [5]),
            ("finalizers", [None]),
            ("ownerReferences", {}),
            ("managedFields", {}),
        )
    ),
    Case("fields of metadata that the API server sets", workspace({"uid": "a", "generation": 1.0, "selfLink": None})),
    *(
        Case(f"the prefix {prefix[:9]}, {len(prefix)} characters", _generated(prefix), "metadata")
        for prefix in ("foo_", "foo.", "-", "foo-.", "a.-", "A", "a" * 254, "a" * 300)
    ),
    *(
        Case(f"the good prefix {prefix[-9:]}, {len(prefix)} characters", _generated(prefix))
        for prefix in ("foo-", "foo--", "a" * 253, "a" * 253 + "-", "a" * 57 + "." + "b" * 9)
    ),
    Case("a bad prefix beside a name", workspace({"generateName": "foo_"}), "metadata.generateName"),
    Case("a prefix that makes no name, beside one", workspace({"generateName": "a.-"})),
    *(
        Case(f"created at {time}", workspace({"creationTimestamp": time}))
        for time in ("2024-02-29T03:04:05Z", "2024-01-02T3:04:05.5+24:00", "0000-01-01T00:00:00Z", None)
    ),
    *(  # the API server does not name the field
        Case(f"created at {time}, which is no time", workspace({"creationTimestamp": time}), "")
        for time in ("zzz", "", "2024-01-02", "2023-02-29T03:04:05Z", "2024-01-02T24:00:00Z", "2024-01-02 03:04:05Z")
    ),
    Case("a finalizer", workspace({"finalizers": ["example.com/a", "a", "a"]})),
    Case("a finalizer with a space", workspace({"finalizers": ["a b"]}), "metadata.finalizers"),
    Case("a finalizer in upper case", workspace({"finalizers": ["Example.com/a"]}), "metadata.finalizers"),
    Case(
        "two finalizers that exclude each other",
        workspace({"finalizers": ["orphan", "foregroundDeletion"]}),
        "metadata.finalizers",
    ),
    Case("owners", _owned(_OWNER, {**_OWNER, "controller": True, "blockOwnerDeletion": None})),
    Case("an owner without anything", _owned({}), "metadata.ownerReferences[0].uid"),
    Case("an owner that is null", _owned(None), "metadata.ownerReferences[0].kind"),
    Case("an owner with an empty name", _owned({**_OWNER, "name": ""}), "metadata.ownerReferences[0].name"),
    Case("an owner with an unknown field", _owned({**_OWNER, "foo": 1}), "metadata.ownerReferences[0].foo"),
    Case("an owner whose name is a number", _owned({**_OWNER, "name": 1}), "name"),
    Case("an owner of no version", _owned({**_OWNER, "apiVersion": "a/"}), "metadata.ownerReferences[0].apiVersion"),
    Case("an owner of two groups", _owned({**_OWNER, "apiVersion": "a/b/c"}), "metadata.ownerReferences[0].apiVersion"),
    Case("an Event as owner", _owned({**_OWNER, "kind": "Event"}), "metadata.ownerReferences[0]"),
    Case(
        "two owners that control",
        _owned({**_OWNER, "controller": True}, {**_OWNER, "uid": "c", "controller": True}),
        "metadata.ownerReferences",
    ),
    Case("an owner that controls, twice", _owned({**_OWNER, "controller": True}, {**_OWNER, "controller": True})),
    Case("managed fields", workspace({"managedFields": [{"manager": "a", "time": "2024-01-02T03:04:05Z"}, None]})),
    Case("an unknown field of those", workspace({"managedFields": [{"foo": 1}]}), "metadata.managedFields[0].foo"),
    Case("an unknown field of metadata", workspace({"owner": "me"}), "metadata.owner"),
    Case("an unknown field beside spec", {**workspace(), "data": {}}, "data"),
    Case("no spec", {key: value for key, value in workspace().items() if key != "spec"}, "spec"),
    Case("a spec that is null", {**workspace(), "spec": None}, "spec"),
    Case("a spec that is a list", {**workspace(), "spec": []}, "spec"),
)

WORKSPACES = (
    Case("an empty spec", workspace()),
    Case("every field", FULL),
    Case("fields that are null", workspace(host=None, owner=None, env=None, resources=None, tty=None, recovery=None)),
    Case("an unknown field", workspace(privileged=True), "spec.privileged"),
    Case("a misspelt nested field", workspace(resources={"limit": {}}), "spec.resources.limit"),
    Case("an unknown field in a list", workspace(env=[{"name": "A", "val": "b"}]), "spec.env[0].val"),
    Case("hostNetwork of a Pod", workspace(hostNetwork=True), "spec.hostNetwork"),
    Case("an unknown state", workspace(desiredState="running"), "spec.desiredState"),
    Case("an owner with a newline", workspace(owner="a\nb"), "spec.owner"),
    Case("an owner with an escape sequence", workspace(owner="\x1b[31mred"), "spec.owner"),
    Case("an owner of 300 characters", workspace(owner="a" * 300), "spec.owner"),
    Case("an empty host", workspace(host=""), "spec.host"),
    Case("a host with a slash", workspace(host="a/b"), "spec.host"),
    Case("an empty image", workspace(image=""), "spec.image"),
    Case("an image with a space", workspace(image="a b"), "spec.image"),
    Case("an image without a name", workspace(image=":latest"), "spec.image"),
    Case("an image in upper case", workspace(image="Alpine"), "spec.image"),
    Case("an image with a scheme", workspace(image="https://registry.example.com/a"), "spec.image"),
    Case("an image with a trailing newline", workspace(image="alpine\n"), "spec.image"),
    Case("an image with a short digest", workspace(image="alpine@sha256:abc"), "spec.image"),
    Case("an image on a port of localhost", workspace(image="localhost:5000/a/b-c__d.e:v1")),
    Case("an image on an IPv6 address", workspace(image="[::1]:5000/a")),
    Case("an image by digest", workspace(image=f"alpine@sha256:{HEX64}")),
    Case("an image that is a number", workspace(image=3), "spec.image"),
    Case("an unknown pull policy", workspace(imagePullPolicy="Sometimes"), "spec.imagePullPolicy"),
    Case("a pull secret twice", workspace(imagePullSecrets=[{"name": "a"}, {"name": "a"}]), "spec.imagePullSecrets[1]"),
    Case("a pull secret without a name", workspace(imagePullSecrets=[{}]), "spec.imagePullSecrets[0].name"),
    Case("a command that is a string", workspace(command="sh"), "spec.command"),
    Case("a command that is empty", workspace(command=[])),
    Case("a command that begins with nothing", workspace(command=["", "a"]), "spec.command"),
    Case("an argument that is a number", workspace(args=[1]), "spec.args[0]"),
    Case("an argument that is null", workspace(args=[None]), "spec.args[0]"),
    Case("an argument with NUL", workspace(args=["a\x00b"]), "spec.args[0]"),
    Case("2,000 arguments", workspace(args=["a"] * 2000), "spec.args"),
    Case("a tty that is a string", workspace(tty="true"), "spec.tty"),
    Case("a grace period of 3600", workspace(terminationGracePeriodSeconds=3600)),
    Case("a grace period of 3601", workspace(terminationGracePeriodSeconds=3601), "spec.terminationGracePeriodSeconds"),
    Case("a negative grace period", workspace(terminationGracePeriodSeconds=-1), "spec.terminationGracePeriodSeconds"),
    Case("a grace period of 1.5", workspace(terminationGracePeriodSeconds=1.5), "spec.terminationGracePeriodSeconds"),
    Case("a grace period of 2.0", workspace(terminationGracePeriodSeconds=2.0)),
    Case("a grace period that is a string", workspace(terminationGracePeriodSeconds="10"), "spec.terminationGrace"),
    Case("an unknown update policy", workspace(updatePolicy="Always"), "spec.updatePolicy"),
    Case("an unknown network", workspace(network={"mode": "Host"}), "spec.network.mode"),
    Case("an empty network", workspace(network={})),
    Case(
        "ports without a network",
        workspace(network={"mode": "None"}, ports=[{"name": "a", "containerPort": 1}]),
        "ports",
    ),
    Case("a negative number of retries", workspace(recovery={"maxRetries": -1}), "spec.recovery.maxRetries"),
    Case("a factor below one", workspace(recovery={"backoff": {"factor": 0.5}}), "spec.recovery.backoff.factor"),
    Case(
        "a back-off that begins above its maximum",
        workspace(recovery={"backoff": {"initialSeconds": 20, "maxSeconds": 10}}),
        "spec.recovery.backoff.initialSeconds",
    ),
    Case("part of a back-off", workspace(recovery={"backoff": {"maxSeconds": 20}})),
    Case("an unknown fallback", workspace(recovery={"fallbackAction": "Panic"}), "spec.recovery.fallbackAction"),
    Case("a probe without a command", workspace(livenessProbe={}), "spec.livenessProbe.exec"),
    Case(
        "a probe with an empty command", workspace(livenessProbe={"exec": {"command": []}}), "spec.livenessProbe.exec"
    ),
    Case("a probe over HTTP", workspace(livenessProbe={"httpGet": {"port": 1}}), "spec.livenessProbe"),
    Case(
        "a probe with no timeout",
        workspace(livenessProbe={"exec": {"command": ["a"]}, "timeoutSeconds": 0}),
        "spec.livenessProbe.timeoutSeconds",
    ),
    Case("a negative user", workspace(securityContext={"runAsUser": -1}), "spec.securityContext.runAsUser"),
    Case("a group without a user", workspace(securityContext={"runAsGroup": 1}), "spec.securityContext.runAsGroup"),
    Case("privileged mode", workspace(securityContext={"privileged": True}), "spec.securityContext.privileged"),
    Case(
        "a capability with its prefix",
        workspace(securityContext={"capabilities": {"add": ["CAP_SYS_ADMIN"]}}),
        "spec.securityContext.capabilities.add[0]",
    ),
    Case(
        "a capability in lower case",
        workspace(securityContext={"capabilities": {"drop": ["all"]}}),
        "spec.securityContext.capabilities.drop[0]",
    ),
)
