"""The last word of a host's policy, on the very body that Docker would get."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import naming
from controller.api import HostPolicy
from controller.errors import PolicyViolation
from controller.policy import MAX_ENV_BYTES, check_body
from tests.unit.policy_examples import GI, container_body, host_policy

BIND = {"Type": "bind", "Source": "/srv/projects/team-a/shop", "Target": "/workspace"}
RPRIVATE = {"BindOptions": {"Propagation": "rprivate"}}
VOLUME_OPTIONS = {"Labels": {naming.LABEL_VOLUME: "cache"}}


def _check(body: dict[str, Any], policy: HostPolicy | None = None, namespace: str = "team-a") -> None:
    check_body(body, policy or host_policy(), namespace)


def _refused(body: dict[str, Any], policy: HostPolicy | None = None) -> str:
    with pytest.raises(PolicyViolation) as refusal:
        _check(body, policy)
    return str(refusal.value)


def _with(field: str, value: Any) -> dict[str, Any]:
    body = container_body()
    *path, key = field.split(".")
    part = body
    for name in path:
        part = part[name]
    part[key] = value
    return body


def _volume(**changes: Any) -> dict[str, Any]:
    source = naming.volume_name("c1", "team-a", "shop", "cache")
    return {"Type": "volume", "Source": source, "Target": "/cache", "VolumeOptions": VOLUME_OPTIONS} | changes


def test_an_ordinary_container_is_allowed() -> None:
    _check(container_body())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Privileged", True),
        ("Privileged", False),
        ("privileged", True),
        ("Binds", ["/:/host"]),
        ("Devices", [{"PathOnHost": "/dev/sda"}]),
        ("DeviceRequests", [{"Driver": "nvidia"}]),
        ("DeviceCgroupRules", ["a *:* rwm"]),
        ("PidMode", "host"),
        ("UTSMode", "host"),
        ("UsernsMode", "host"),
        ("IpcMode", "host"),
        ("IpcMode", "container:abc"),
        ("IpcMode", "shareable"),
        ("CgroupnsMode", "host"),
        ("CgroupParent", "/system.slice"),
        ("NetworkMode", "host"),
        ("NetworkMode", "bridge"),
        ("NetworkMode", "default"),
        ("NetworkMode", ""),
        ("NetworkMode", None),
        ("NetworkMode", "container:abc"),
        ("NetworkMode", "ws-team-b-isolated-1"),
        ("VolumesFrom", ["other"]),
        ("VolumeDriver", "nfs"),
        ("Tmpfs", {"/run": ""}),
        ("Sysctls", {"kernel.core_pattern": "|/x"}),
        ("Runtime", "other"),
        ("MaskedPaths", []),
        ("ReadonlyPaths", []),
        ("maskedpaths", []),
        ("ExtraHosts", ["api:1.2.3.4"]),
        ("OomScoreAdj", -1000),
        ("OomKillDisable", True),
        ("Ulimits", [{"Name": "nproc", "Hard": -1}]),
        ("GroupAdd", ["docker"]),
        ("PublishAllPorts", True),
        ("AutoRemove", True),
        ("CpusetCpus", "0"),
        ("CpuQuota", -1),
        ("pidslimit", None),
        ("memory", 0),
        ("SecurityOpt", []),
        ("SecurityOpt", None),
        ("SecurityOpt", ["no-new-privileges:false"]),
        ("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
        ("SecurityOpt", ["no-new-privileges", "apparmor=unconfined"]),
        ("SecurityOpt", ["no-new-privileges", "systempaths=unconfined"]),
        ("SecurityOpt", ["no-new-privileges", "label=disable"]),
        ("CapAdd", ["SYS_ADMIN"]),
        ("CapAdd", ["cap_net_raw"]),
        ("CapAdd", ["ALL"]),
        ("CapDrop", []),
        ("CapDrop", None),
        ("CapDrop", ["MKNOD", "AUDIT_WRITE"]),
        ("NanoCpus", 0),
        ("NanoCpus", 4_000_000_001),
        ("Memory", 0),
        ("Memory", 9 * GI),
        ("MemorySwap", -1),
        ("MemorySwap", 2 * GI),
        ("PidsLimit", 0),
        ("PidsLimit", -1),
        ("PidsLimit", None),
        ("PidsLimit", True),
        ("PidsLimit", 4097),
        ("CpuShares", 1 << 18),
        ("MemoryReservation", 9 * GI),
        ("RestartPolicy", {"Name": "always"}),
        ("RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
        ("LogConfig", {"Type": "none", "Config": {}}),
        ("LogConfig", {"Type": "json-file", "Config": {}}),
        ("LogConfig", {"Type": "syslog", "Config": {"syslog-address": "tcp://example"}}),
        ("LogConfig", None),
    ],
)
def test_a_host_config_outside_the_policy_is_refused_by_its_key(key: str, value: Any) -> None:
    assert _refused(_with(f"HostConfig.{key}", value)).startswith(f"HostConfig.{key}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Image", "ab" * 32),
        ("Image", "abcdef"),
        ("Image", "sha256:" + "ab" * 32),
        ("Image", None),
        ("WorkingDir", "/proc/self/fd/8"),
        ("WorkingDir", ""),
        ("WorkingDir", None),
        ("User", "root"),
        ("User", "0:docker"),
        ("User", "1000\n"),
        ("Env", ["NOVALUE"]),
        ("Env", ["=x"]),
        ("Env", ["A=x\0"]),
        ("Labels", {}),
        ("Labels", None),
        ("Volumes", {"/": {}}),
        ("MacAddress", "02:42:ac:11:00:02"),
        ("Domainname", "x"),
        ("Shell", ["/bin/sh"]),
        ("OnBuild", ["RUN x"]),
        ("StopTimeout", 1 << 30),
        ("hostconfig", {"Privileged": True}),
        ("image", "evil"),
        ("HostConfig", None),
        ("NetworkingConfig", {"EndpointsConfig": {"bridge": {}}}),
        ("NetworkingConfig", {"EndpointsConfig": {"a" * 64: {"IPAMConfig": {"IPv4Address": "10.0.0.1"}}}}),
        ("NetworkingConfig", {"EndpointsConfig": {"a" * 64: {"MacAddress": "02:42:ac:11:00:02"}}}),
        ("NetworkingConfig", {"Other": {}}),
    ],
)
def test_a_body_outside_the_policy_is_refused_by_its_key(key: str, value: Any) -> None:
    assert _refused(_with(key, value)).startswith(key)


def test_the_message_about_a_variable_never_shows_its_value() -> None:
    assert "canary" not in _refused(_with("Env", ["TOKEN=canary\0"]))
    assert "canary" not in _refused(_with("Env", ["canary"]))


@pytest.mark.parametrize(
    "mount",
    [
        BIND,
        BIND | {"BindOptions": {"Propagation": "rshared"}},
        BIND | {"BindOptions": {"Propagation": "shared"}},
        BIND | {"BindOptions": {"Propagation": "rprivate", "CreateMountpoint": True}},
        BIND | {"BindOptions": {"Propagation": "rprivate", "NonRecursive": True}},
        BIND | {"BindOptions": {"Propagation": "rprivate", "Other": 1}},
        BIND | RPRIVATE | {"Source": "/"},
        BIND | RPRIVATE | {"Source": "/etc"},
        BIND | RPRIVATE | {"Source": "/var/run/docker.sock"},
        BIND | RPRIVATE | {"Source": "/srv/projects/team-b/shop"},
        BIND | RPRIVATE | {"Source": "/srv/projects/team-a/shop/link"},
        BIND | RPRIVATE | {"Source": "/srv/projects/team-a/../team-b/shop"},
        BIND | RPRIVATE | {"Source": "/srv/projects/team-a/shop/."},
        BIND | RPRIVATE | {"source": "/"},
        BIND | RPRIVATE | {"Target": "/proc"},
        BIND | RPRIVATE | {"Target": "/"},
        BIND | RPRIVATE | {"Target": "/dev/../proc"},
        BIND | RPRIVATE | {"VolumeOptions": VOLUME_OPTIONS},
        {"Type": "tmpfs", "Target": "/tmp"},
        {"Type": "npipe", "Source": "/x", "Target": "/x"},
        {"Type": "image", "Source": "other", "Target": "/x"},
        {"Type": "cluster", "Source": "x", "Target": "/x"},
        {"Target": "/x"},
        _volume(Source="other"),
        _volume(Source=""),
        _volume(Source="/etc"),
        _volume(Source="ws-team-a-shop-cache-00000000"),
        _volume(Source=naming.volume_name("c1", "team-b", "shop", "cache")),
        _volume(Source=naming.volume_name("c1", "team-a", "other", "cache")),
        _volume(Source=naming.volume_name("c2", "team-a", "shop", "cache")),
        _volume(VolumeOptions={}),
        _volume(
            VolumeOptions=VOLUME_OPTIONS | {"DriverConfig": {"Options": {"device": "/", "o": "bind", "type": "none"}}}
        ),
        _volume(VolumeOptions=VOLUME_OPTIONS | {"Subpath": ".."}),
        _volume(BindOptions={"Propagation": "rshared"}),
    ],
)
def test_a_mount_outside_the_policy_is_refused(mount: dict[str, Any]) -> None:
    body = _with("HostConfig.Mounts", [*container_body()["HostConfig"]["Mounts"], mount])
    assert _refused(body).startswith("HostConfig.Mounts[2]: ")


@pytest.mark.parametrize(
    "binding",
    [
        {"HostIp": "0.0.0.0", "HostPort": "20000"},
        {"HostIp": "", "HostPort": "20000"},
        {"HostPort": "20000"},
        {"HostIp": "127.0.0.2", "HostPort": "20000"},
        {"HostIp": "127.0.0.1", "HostPort": "22"},
        {"HostIp": "127.0.0.1", "HostPort": "19999-20001"},
        {"HostIp": "127.0.0.1", "HostPort": "29999-30000"},
        {"HostIp": "127.0.0.1", "HostPort": "20010-20000"},
        {"HostIp": "127.0.0.1", "HostPort": "0"},
        {"HostIp": "127.0.0.1", "HostPort": ""},
        {"HostIp": "127.0.0.1"},
        {"HostIp": "127.0.0.1", "HostPort": 20000},
    ],
)
def test_a_port_outside_the_policy_is_refused(binding: dict[str, Any]) -> None:
    body = _with("HostConfig.PortBindings", {"8080/tcp": [binding]})
    assert _refused(body).startswith("HostConfig.PortBindings[8080/tcp]: ")


def test_a_port_that_docker_would_place_itself_is_refused() -> None:
    assert "8080/tcp" in _refused(_with("HostConfig.PortBindings", {"8080/tcp": []}))
    assert "8080/tcp" in _refused(_with("HostConfig.PortBindings", {"8080/tcp": None}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (naming.LABEL_NAMESPACE, "team-b"),
        (naming.LABEL_CLUSTER, ""),
        (naming.LABEL_UID, None),
        (naming.LABEL_NAME, ""),
        ("com.docker.compose.project", "x"),
        ("AICLI.DEV/uid", "x"),
    ],
)
def test_labels_say_who_we_are_and_nothing_else(key: str, value: Any) -> None:
    body = container_body()
    body["Labels"] = body["Labels"] | {key: value}
    assert _refused(body).startswith("Labels: ")


def test_what_the_policy_allows_passes() -> None:
    body = container_body()
    body["HostConfig"] |= {"CapAdd": ["NET_RAW", "SYS_PTRACE"], "CapDrop": ["MKNOD", "AUDIT_WRITE"], "SecurityOpt": []}
    body["HostConfig"]["PortBindings"] = {"53/udp": [{"HostIp": "0.0.0.0", "HostPort": "53"}]}
    ports = {"address": "0.0.0.0", "range": "53-53"}
    _check(body, host_policy(capabilities=["NET_RAW", "SYS_PTRACE"], allowPrivilegeEscalation=True, ports=ports))


def test_dropping_all_capabilities_drops_the_defaults_too() -> None:
    _check(_with("HostConfig.CapDrop", ["ALL"]))


def test_no_network_at_all_is_allowed() -> None:
    _check(_with("HostConfig.NetworkMode", "none"))


def test_the_namespaces_own_network_may_carry_an_alias() -> None:
    _check(_with("NetworkingConfig", {"EndpointsConfig": {"a" * 64: {"Aliases": ["shop"]}}}))


def test_a_namespace_that_is_not_listed_gets_no_container() -> None:
    assert "policy.namespaces" in _refused(container_body(), host_policy(namespaces={"matchNames": ["team-b"]}))


def test_an_image_that_is_not_listed_is_refused() -> None:
    assert _refused(container_body(), host_policy(images=["ghcr.io/org/*"])).startswith("Image: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.text(max_size=12), JSON)
def test_no_key_that_is_not_known_gets_through(key: str, value: Any) -> None:
    for place in ("", "HostConfig."):
        body = container_body()
        known = body["HostConfig"] if place else body
        optional = {"Cmd", "Entrypoint", "NetworkingConfig", "CgroupnsMode"}
        if key not in known and key not in optional:
            (body["HostConfig"] if place else body)[key] = value
            _refused(body)


def test_an_environment_that_the_kernel_would_not_take_is_refused() -> None:
    assert str(MAX_ENV_BYTES) in _refused(_with("Env", [f"V{n}=" + "x" * 100_000 for n in range(21)]))
    _check(_with("Env", [f"V{n}=" + "x" * 100_000 for n in range(19)]))


def test_a_label_of_others_may_only_be_taken_away() -> None:
    labels = container_body()["Labels"]
    _check(_with("Labels", labels | {"traefik.enable": ""}))
    assert "traefik.enable" in _refused(_with("Labels", labels | {"traefik.enable": "true"}))
