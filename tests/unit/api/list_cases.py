"""Workspaces, good and bad: environment, paths, volumes, ports."""

from typing import Any

from tests.unit.api.objects import Case, Object, workspace


def _env(*variables: Object) -> Object:
    return workspace(env=list(variables))


def _ports(*ports: Object) -> Object:
    return workspace(ports=list(ports))


def _volumes(*volumes: Object, **spec: Any) -> Object:
    return workspace(volumes=list(volumes), **spec)


ENVIRONMENT = (
    Case("a variable twice", _env({"name": "A"}, {"name": "A", "value": "b"}), "spec.env[1]"),
    Case("a variable without a name", _env({"value": "b"}), "spec.env[0].name"),
    Case("a variable with an empty name", _env({"name": ""}), "spec.env[0].name"),
    Case("a variable with an equals sign", _env({"name": "A=B"}), "spec.env[0].name"),
    Case("a variable with a digit first", _env({"name": "1A"}), "spec.env[0].name"),
    Case("a value that is a number", _env({"name": "A", "value": 5}), "spec.env[0].value"),
    Case("a value that is true", _env({"name": "A", "value": True}), "spec.env[0].value"),
    Case("a value with NUL", _env({"name": "A", "value": "a\x00"}), "spec.env[0].value"),
    Case("a value of 40,000 characters", _env({"name": "A", "value": "a" * 40000}), "spec.env[0].value"),
    Case("1,000 variables", _env(*({"name": f"A{number}", "value": "b"} for number in range(1000)))),
    Case("1,001 variables", _env(*({"name": f"A{number}"} for number in range(1001))), "spec.env"),
    Case(
        "a value from two places",
        _env({"name": "A", "value": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
        "spec.env[0]",
    ),
    Case("a value from nowhere", _env({"name": "A", "valueFrom": {}}), "spec.env[0].valueFrom"),
    Case(
        "a value from a Secret and a ConfigMap",
        _env(
            {
                "name": "A",
                "valueFrom": {
                    "secretKeyRef": {"name": "s", "key": "k"},
                    "configMapKeyRef": {"name": "s", "key": "k"},
                },
            }
        ),
        "spec.env[0].valueFrom",
    ),
    Case(
        "a Secret of another namespace",
        _env({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "namespace": "b"}}}),
        "spec.env[0].valueFrom.secretKeyRef.namespace",
    ),
    Case(
        "a key with a slash",
        _env({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a/b"}}}),
        "spec.env[0].valueFrom.secretKeyRef.key",
    ),
    Case("a field of a Pod", _env({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}), "valueFrom"),
    Case("all of a Secret", workspace(envFrom=[{"secretRef": {"name": "s"}}]), "spec.envFrom[0]"),
)

PATHS = (
    *(
        Case(f"{field} {words}", workspace(**{field: path}), f"spec.{field}")
        for field in ("projectPath", "projectMountPath", "workingDir")
        for words, path in {
            "that is empty": "",
            "that is relative": "srv/a",
            "with a home": "~/a",
            "with two slashes first": "//etc",
            "with two slashes": "/a//b",
            "with a dot": "/./a",
            "with a dot last": "/a/.",
            "with two dots": "/a/../../etc",
            "with two dots last": "/a/..",
            "with a trailing slash": "/a/",
            "with a newline": "/a\nb",
            "with a newline last": "/a\n",
            "with NUL": "/a\x00b",
            "of 1,025 characters": "/" + "a" * 1024,
        }.items()
    ),
    Case("the whole host", workspace(projectPath="/"), "spec.projectPath"),
    Case("a project at /", workspace(projectMountPath="/"), "spec.projectMountPath"),
    Case("a project at /proc", workspace(projectMountPath="/proc"), "spec.projectMountPath"),
    Case("a project at /process", workspace(projectMountPath="/process")),
    Case("a project under /sys", workspace(projectMountPath="/sys/fs/cgroup"), "spec.projectMountPath"),
    Case("a file descriptor as working directory", workspace(workingDir="/proc/self/fd/8"), "spec.workingDir"),
    Case("a disguised file descriptor", workspace(workingDir="/./proc/self/fd/8"), "spec.workingDir"),
    Case("/dev as working directory", workspace(workingDir="/dev"), "spec.workingDir"),
    Case("names with dots", workspace(projectPath="/srv/a.b/.c/d..e/f.")),
)

VOLUMES = (
    Case(
        "a volume twice",
        _volumes({"name": "a", "mountPath": "/a"}, {"name": "a", "mountPath": "/b"}),
        "spec.volumes[1]",
    ),
    Case(
        "two volumes at a place",
        _volumes({"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/a"}),
        "volumes",
    ),
    Case("a volume in another", _volumes({"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/a/b"})),
    Case(
        "a volume over the project", _volumes({"name": "a", "mountPath": "/workspace"}, projectPath="/srv/a"), "volumes"
    ),
    Case("a volume where no project is", _volumes({"name": "a", "mountPath": "/workspace"})),
    Case("a volume without a path", _volumes({"name": "a"}), "spec.volumes[0].mountPath"),
    Case("a volume at /", _volumes({"name": "a", "mountPath": "/"}), "spec.volumes[0].mountPath"),
    Case("a volume under /proc", _volumes({"name": "a", "mountPath": "/proc/a"}), "spec.volumes[0].mountPath"),
    Case(
        "a volume of a host path",
        _volumes({"name": "a", "mountPath": "/a", "hostPath": "/"}),
        "spec.volumes[0].hostPath",
    ),
    Case("a volume with a path as its name", _volumes({"name": "/etc", "mountPath": "/a"}), "spec.volumes[0].name"),
    Case(
        "an unknown reclaim policy",
        _volumes({"name": "a", "mountPath": "/a", "reclaimPolicy": "Recycle"}),
        "spec.volumes[0].reclaimPolicy",
    ),
)

PORTS = (
    Case("port 0", _ports({"name": "a", "containerPort": 0}), "spec.ports[0].containerPort"),
    Case("port 65536", _ports({"name": "a", "containerPort": 65536}), "spec.ports[0].containerPort"),
    Case("a port that is a string", _ports({"name": "a", "containerPort": "80"}), "spec.ports[0].containerPort"),
    Case("a port without a name", _ports({"containerPort": 80}), "spec.ports[0].name"),
    Case("a port with a long name", _ports({"name": "a" * 16, "containerPort": 80}), "spec.ports[0].name"),
    Case("a port of the host", _ports({"name": "a", "containerPort": 80, "hostPort": 22}), "spec.ports[0].hostPort"),
    Case(
        "a name of a port twice",
        _ports({"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}),
        "spec.ports[1]",
    ),
    Case("a port twice", _ports({"name": "a", "containerPort": 1}, {"name": "b", "containerPort": 1}), "spec.ports"),
    Case(
        "a port twice, once by default",
        _ports({"name": "a", "containerPort": 1, "protocol": "TCP"}, {"name": "b", "containerPort": 1}),
        "spec.ports",
    ),
    Case("SCTP", _ports({"name": "a", "containerPort": 1, "protocol": "SCTP"}), "spec.ports[0].protocol"),
)
