"""A tenant who is root in a container wants to be root outside of it."""

import subprocess
from typing import Any

import pytest

from devcluster import sample
from tests.security.stack import Stack, Tenant

privileged = pytest.mark.threat("privileged, devices, host namespaces, socket")
capabilities = pytest.mark.threat("capabilities")
setuid = pytest.mark.threat("setuid escalation")
working_dir = pytest.mark.threat("workingDir tricks")

SETUID_SU = "/workspace/su"
CAPABILITY_NUMBERS = {
    "NET_RAW": 13,
    "SYS_MODULE": 16,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
}


@privileged
@pytest.mark.parametrize(
    "spec",
    [
        {"privileged": True},
        {"hostNetwork": True},
        {"hostPID": True},
        {"hostIPC": True},
        {"pid": "host"},
        {"devices": ["/dev/sda"]},
        {"deviceRequests": [{"driver": "nvidia"}]},
        {"hostConfig": {"Privileged": True}},
        {"binds": ["/:/host"]},
        {"runtime": "other"},
        {"cgroupParent": "/"},
        {"sysctls": {"kernel.core_pattern": "|/x"}},
        {"securityContext": {"privileged": True}},
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        {"securityContext": {"procMount": "Unmasked"}},
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
        {"network": {"mode": "Host"}},
        {"network": {"mode": "host"}},
        {"network": {"mode": "container:abc"}},
        {"network": {"mode": "bridge"}},
        {"volumes": [{"name": "v", "mountPath": "/v", "driverOpts": {"o": "bind", "device": "/"}}]},
        {"volumes": [{"name": "v", "mountPath": "/v", "hostPath": {"path": "/"}}]},
    ],
    ids=str,
)
def test_what_gives_the_host_is_no_part_of_the_api(stack: Stack, alice: Tenant, spec: dict[str, Any]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        alice.apply("privileged", spec)
    assert next(iter(spec)) in refusal.value.stderr


@privileged
def test_unknown_fields_that_are_pruned_change_nothing(stack: Stack, alice: Tenant) -> None:
    spec = '{"privileged": true, "hostPID": true, "binds": ["/:/host"], "securityContext": {"privileged": true}}'
    body = f'{{"apiVersion":"aicli.dev/v1alpha1","kind":"Workspace","metadata":{{"name":"pruned"}},"spec":{spec}}}'
    alice.kubectl("apply", "--validate=false", "-f", "-", stdin=body)
    _assert_confined(stack.running(alice, "pruned"))


@privileged
def test_every_container_is_confined(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "confined", {"projectPath": f"{stack.projects}/team-a/shop"})
    _assert_confined(box)
    assert "docker.sock" not in stack.execute(box, "cat", "/proc/self/mountinfo")[1]


@privileged
def test_the_hosts_processes_and_devices_are_out_of_sight(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "sight")
    _, processes = stack.execute(box, "ps")
    assert "dockerd" not in processes
    _, devices = stack.execute(box, "ls", "/dev")
    assert not {"mem", "kmsg", "sda", "vda", "loop0", "fuse"} & set(devices.split())
    for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper"):
        code, _ = stack.execute(box, "sh", "-c", f"echo x > {path}")
        assert code != 0, path


@privileged
@pytest.mark.parametrize(
    "command", ["mknod /tmp/disk b 8 0", "unshare -m true", "mount -t proc proc /tmp", "chroot /proc/1/root ls /"]
)
def test_root_inside_makes_no_device_mount_or_namespace(stack: Stack, alice: Tenant, command: str) -> None:
    box = stack.start(alice, "inside")
    code, output = stack.execute(box, "sh", "-c", command)
    if command.startswith("chroot"):  # its own root: the pid namespace has no other
        assert output == stack.execute(box, "ls", "/")[1]
    else:
        assert code != 0, output


@capabilities
@pytest.mark.parametrize(
    "name", ["SYS_ADMIN", "CAP_SYS_ADMIN", "sys_admin", "ALL", "NET_RAW", "SYS_PTRACE", "BPF", "Sys_Admin"]
)
def test_a_capability_is_refused_unless_the_host_lists_it(stack: Stack, alice: Tenant, name: str) -> None:
    message = stack.refusal(alice, "capable", {"securityContext": {"capabilities": {"add": [name]}}})
    assert "spec.securityContext.capabilities.add" in message


@capabilities
def test_the_dangerous_defaults_of_docker_are_dropped(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "default-caps")
    _, status = stack.execute(box, "grep", "-E", "Cap(Eff|Bnd|Prm)", "/proc/1/status")
    for line in status.splitlines():
        held = int(line.split()[1], 16)
        assert [name for name, bit in CAPABILITY_NUMBERS.items() if held >> bit & 1] == [], line
    assert len(status.splitlines()) == 3


@capabilities
def test_capabilities_can_be_dropped_to_nothing(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "no-caps", {"securityContext": {"capabilities": {"drop": ["ALL"]}}})
    _, status = stack.execute(box, "grep", "CapBnd", "/proc/1/status")
    assert int(status.split()[1], 16) == 0


@setuid
def test_a_setuid_program_gives_nothing(stack: Stack, alice: Tenant) -> None:
    project = str(stack.project("team-a", "setuid"))
    root = stack.start(alice, "root", {"projectPath": project})
    stack.execute(root, "sh", "-c", f"cp /bin/busybox {SETUID_SU} && chown 0:0 {SETUID_SU} && chmod 4755 {SETUID_SU}")
    user = stack.start(
        alice, "user", {"projectPath": project, "securityContext": {"runAsUser": 1000, "runAsGroup": 1000}}
    )
    assert stack.execute(user, "stat", "-c", "%a", SETUID_SU)[1].strip() == "4755"
    code, output = stack.execute(user, SETUID_SU, "-c", "touch /made-by-root")
    assert code != 0
    assert "must be suid" in output  # busybox, started as su, asks who it is: still the user


@setuid
def test_no_new_privileges_holds_for_every_process(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "nnp")
    assert box["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    assert stack.execute(box, "grep", "NoNewPrivs", "/proc/1/status")[1].split() == ["NoNewPrivs:", "1"]
    assert stack.execute(box, "grep", "NoNewPrivs", "/proc/self/status")[1].split() == ["NoNewPrivs:", "1"]


@setuid
def test_seccomp_filters_system_calls(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "seccomp")
    assert stack.execute(box, "grep", "Seccomp:", "/proc/1/status")[1].split() == ["Seccomp:", "2"]


@setuid
def test_privilege_escalation_is_refused_by_the_hosts_policy(stack: Stack, alice: Tenant) -> None:
    message = stack.refusal(alice, "escalation", {"securityContext": {"allowPrivilegeEscalation": True}})
    assert "spec.securityContext.allowPrivilegeEscalation" in message


@working_dir
@pytest.mark.parametrize(
    "path",
    [
        *(
            "/proc/self/fd/8",
            "/proc/self/cwd",
            "/proc",
            "/sys/fs/cgroup",
            "/dev/fd/7",
            "//proc/self/fd/8",
            "/./proc/self/fd/8",
        ),
        *("/workspace/../proc/self/fd/8", "/proc/self/fd/8/", "relative", "/\x01", "", "/dev/../proc/self"),
    ],
)
def test_a_working_directory_among_the_kernels_files_is_refused(stack: Stack, alice: Tenant, path: str) -> None:
    assert "spec.workingDir" in stack.refusal(alice, "workdir", {"workingDir": path})


@working_dir
def test_an_image_does_not_choose_the_working_directory(stack: Stack, alice: Tenant) -> None:
    stack.engine.load(sample.archive("workdir:1", {"WorkingDir": "/proc/self/fd/8"}))
    box = stack.start(alice, "workdir", {"image": "workdir:1"})
    assert box["Config"]["WorkingDir"] == "/workspace"
    assert stack.execute(box, "readlink", "/proc/1/cwd")[1].strip() == "/workspace"


@privileged
def test_an_image_brings_no_volume_from_the_host(stack: Stack, alice: Tenant) -> None:
    stack.engine.load(sample.archive("volumes:1", {"Volumes": {"/data": {}}, "User": "0"}))
    box = stack.start(alice, "volumes", {"image": "volumes:1"})
    assert all(m["Type"] == "volume" and str(stack.engine.directory) in m["Source"] for m in box["Mounts"])


def _assert_confined(box: dict[str, Any]) -> None:
    host = box["HostConfig"]
    assert host["Privileged"] is False
    assert not host["Devices"]
    assert not host["DeviceRequests"]
    assert not host["Binds"]
    assert not host["VolumesFrom"]
    assert not host["CapAdd"]
    assert host["PidMode"] == ""
    assert host["UTSMode"] == ""
    assert host["IpcMode"] == "private"
    assert host["NetworkMode"] not in ("host", "bridge", "default")
    assert host["MaskedPaths"]
    assert host["ReadonlyPaths"]
    assert "seccomp=unconfined" not in host["SecurityOpt"]
    assert not [m for m in box["Mounts"] if "docker.sock" in m["Source"] or m["Source"] == "/"]
