"""A tenant wants the host's files."""

import subprocess
from pathlib import Path

import pytest

from tests.security.stack import PATIENCE, Stack, Tenant
from tests.waiting import eventually

escape = pytest.mark.threat("host path escape")
propagation = pytest.mark.threat("mount propagation")


@escape
@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/etc",
            "//etc",
            "/etc/",
            "/.",
            "/..",
            "/var/run/docker.sock",
            "/run",
            "/proc/self/root",
            "/dev",
            "/sys",
        ),
        *("/root/.ssh", "/var/lib/docker", "/home", "relative", "..", "~", "C:\\", "\\\\host\\share", "file:///etc"),
    ],
)
def test_a_path_of_the_host_is_refused(stack: Stack, alice: Tenant, path: str) -> None:
    message = stack.refusal(alice, "escape", {"projectPath": path})
    assert "spec.projectPath" in message


@escape
@pytest.mark.parametrize(
    "suffix",
    [
        *("", "/", "/.", "/..", "/../team-b/shop", "/shop/..", "/shop/../../team-b/shop", "/shop/../../../../../etc"),
        *(
            "/shop/",
            "/shop/.",
            "/./shop",
            "//shop",
            "/shop/src",
            "/shop/*",
            "/{namespace}/shop",
            "/shop\x01",
            "/shop\n",
        ),
    ],
)
def test_a_path_around_the_own_projects_is_refused(stack: Stack, alice: Tenant, suffix: str) -> None:
    message = stack.refusal(alice, "escape", {"projectPath": f"{stack.projects}/team-a{suffix}"})
    assert "spec.projectPath" in message


@escape
@pytest.mark.parametrize("path", ["team-b/shop", "team-b", "", "team-A/shop", "*/shop"])
def test_a_neighbours_project_is_refused(stack: Stack, alice: Tenant, path: str) -> None:
    assert "spec.projectPath" in stack.refusal(alice, "escape", {"projectPath": f"{stack.projects}/{path}"})


@escape
def test_a_path_with_nul_is_refused(stack: Stack, alice: Tenant) -> None:
    path = f"{stack.projects}/team-a/shop\0/../../../etc"
    assert "spec.projectPath" in stack.refusal(alice, "escape", {"projectPath": path})


@escape
def test_a_missing_directory_is_not_made_on_the_host(stack: Stack, alice: Tenant) -> None:
    missing = stack.projects / "team-a" / "missing"
    assert "missing" in stack.refusal(alice, "missing", {"projectPath": str(missing)})
    assert not missing.exists()


@escape
def test_a_link_planted_by_an_earlier_workspace_leads_nowhere(stack: Stack, alice: Tenant) -> None:
    project = stack.project("team-a", "planted")
    planter = stack.start(alice, "planter", {"projectPath": str(project)})
    for link in ("link", "../beside", "../../above"):
        stack.execute(planter, "ln", "-s", "/etc", f"/workspace/{link}")
    assert (project / "link").is_symlink()
    for beside in (project.parent / "beside", project.parent.parent / "above"):
        assert not beside.is_symlink()
    assert "not allowed" in stack.refusal(alice, "follower", {"projectPath": f"{project}/link"})
    assert stack.execute(planter, "cat", "/workspace/link/hostname")[1] != Path("/etc/hostname").read_text()


@escape
def test_a_volume_mounted_over_a_planted_link_stays_inside(stack: Stack, alice: Tenant) -> None:
    project, outside = stack.project("team-a", "linked"), stack.projects.parent / "outside"
    outside.mkdir(exist_ok=True)
    planter = stack.start(alice, "planter", {"projectPath": str(project)})
    stack.execute(planter, "ln", "-s", str(outside), "/workspace/link")
    alice.apply("over-link", {"projectPath": str(project), "volumes": [{"name": "v", "mountPath": "/workspace/link"}]})
    eventually(lambda: alice.status("over-link")["phase"] in ("Running", "Failed", "BackOff"), PATIENCE)
    for box in stack.containers("team-a", "over-link"):
        stack.execute(box, "touch", "/workspace/link/from-inside")
    assert list(outside.iterdir()) == []
    assert not outside.is_mount()


@escape
def test_a_project_cannot_be_swapped_for_a_link_while_it_is_mounted(stack: Stack, alice: Tenant) -> None:
    project = stack.project("team-a", "swapped")
    box = stack.start(alice, "swapper", {"projectPath": str(project)})
    for command in (["rmdir", "/workspace"], ["mv", "/workspace", "/elsewhere"], ["ln", "-sfn", "/etc", "/workspace"]):
        stack.execute(box, *command)
    assert project.is_dir()
    assert not project.is_symlink()


@escape
def test_the_only_mount_from_the_host_is_the_project(stack: Stack, alice: Tenant) -> None:
    project = stack.project("team-a", "shop")
    box = stack.start(alice, "only", {"projectPath": str(project), "volumes": [{"name": "c", "mountPath": "/cache"}]})
    assert [m["Source"] for m in box["Mounts"] if m["Type"] == "bind"] == [str(project)]
    assert box["HostConfig"]["Binds"] is None
    _, mounts = stack.execute(box, "cat", "/proc/self/mountinfo")
    assert "docker.sock" not in mounts


@escape
@pytest.mark.parametrize(
    "target", ["/", "/proc", "/proc/sys", "/sys", "/dev/shm", "//proc", "/workspace/../proc", "/."]
)
def test_nothing_is_mounted_over_the_kernels_files(stack: Stack, alice: Tenant, target: str) -> None:
    spec = {"projectPath": f"{stack.projects}/team-a/shop", "projectMountPath": target}
    assert "projectMountPath" in stack.refusal(alice, "over", spec)
    assert "mountPath" in stack.refusal(alice, "over", {"volumes": [{"name": "v", "mountPath": target}]})


@escape
@pytest.mark.parametrize("name", ["/etc", "../x", "a/b", ".", "x" * 64, "C:"])
def test_a_volumes_name_is_no_path(stack: Stack, alice: Tenant, name: str) -> None:
    assert "spec.volumes" in stack.refusal(alice, "volume", {"volumes": [{"name": name, "mountPath": "/cache"}]})


@escape
def test_a_volume_is_always_the_workspaces_own(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "volume", {"volumes": [{"name": "ws-team-b-x", "mountPath": "/cache"}]})
    (mount,) = (m for m in box["Mounts"] if m["Type"] == "volume")
    assert mount["Name"].startswith("ws-team-a-volume-")
    assert str(stack.engine.directory) in mount["Source"]


@propagation
def test_every_mount_is_private(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "private", {"projectPath": f"{stack.projects}/team-a/shop"})
    (bind,) = (m for m in box["Mounts"] if m["Type"] == "bind")
    assert bind["Propagation"] == "rprivate"
    _, mounts = stack.execute(box, "cat", "/proc/self/mountinfo")
    (project,) = (line for line in mounts.splitlines() if " /workspace " in line)
    assert "shared:" not in project
    assert "master:" not in project
    assert "shared:" not in mounts


@propagation
def test_a_mount_made_on_the_host_later_does_not_appear_inside(stack: Stack, alice: Tenant) -> None:
    inner = stack.project("team-a", "later") / "inner"
    inner.mkdir(exist_ok=True)
    box = stack.start(alice, "later", {"projectPath": str(inner.parent)})
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inner)], check=True)
    try:
        (inner / "of-the-host").touch()
        assert "of-the-host" not in stack.execute(box, "ls", "/workspace/inner")[1]
    finally:
        subprocess.run(["umount", str(inner)], check=True)


@propagation
def test_a_mount_made_inside_fails(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "mounter", {"projectPath": f"{stack.projects}/team-a/shop"})
    code, _ = stack.execute(box, "mount", "-t", "tmpfs", "tmpfs", "/workspace")
    assert code != 0
    code, _ = stack.execute(box, "mount", "--make-rshared", "/workspace")
    assert code != 0


@propagation
@pytest.mark.parametrize("field", ["mountPropagation", "propagation", "bindOptions"])
def test_propagation_is_no_field_of_the_api(stack: Stack, alice: Tenant, field: str) -> None:
    volumes = [{"name": "v", "mountPath": "/cache", field: "Bidirectional"}]
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        alice.apply("propagation", {"volumes": volumes})
    assert field in refusal.value.stderr


@escape
def test_a_path_that_was_allowed_is_given_up_when_the_policy_says_stop(stack: Stack, alice: Tenant) -> None:
    """A change of policy reaches running Workspaces too."""
    project = stack.project("team-a", "shop")
    stack.start(alice, "formerly", {"projectPath": str(project)})
    try:
        stack.apply_host("default", _host(stack, projectPaths=[], enforcement="Stop"))
        eventually(lambda: not [c for c in stack.containers("team-a", "formerly") if c["State"]["Running"]], PATIENCE)
        eventually(lambda: alice.status("formerly")["lastError"]["reason"] == "PolicyViolation", PATIENCE)
    finally:
        stack.apply_host("default", _host(stack))


@escape
def test_a_path_that_was_allowed_is_reported_and_never_mounted_again(stack: Stack, alice: Tenant) -> None:
    """The policy's default: what runs goes on, and nothing new is made that it forbids."""
    box = stack.start(alice, "reported", {"projectPath": str(stack.project("team-a", "shop"))})
    try:
        stack.apply_host("default", _host(stack, projectPaths=[]))
        eventually(lambda: alice.status("reported")["lastError"]["reason"] == "PolicyViolation", PATIENCE)
        assert stack.running(alice, "reported")["Id"] == box["Id"]
        stack.engine.docker("rm", "-f", box["Id"])
        eventually(lambda: alice.status("reported")["phase"] == "Failed", PATIENCE)
        assert stack.containers("team-a", "reported") == []
    finally:
        stack.apply_host("default", _host(stack))


def _host(stack: Stack, **changes: object) -> dict[str, object]:
    return {"endpoint": stack.engine.endpoint, "policy": stack.policy(**changes)}
