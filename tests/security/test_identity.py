"""A tenant wants to be taken for somebody else, or have somebody else's things taken for theirs."""

import subprocess

import pytest

from controller import naming
from controller.api import GROUP
from devcluster import sample
from tests.security.stack import PATIENCE, Stack, Tenant
from tests.waiting import eventually

injection = pytest.mark.threat("label and name injection")
identity = pytest.mark.threat("identity")


def _forged(stack: Stack, victim: Tenant, name: str) -> dict[str, str]:
    """The labels of a neighbour's container."""
    labels: dict[str, str] = stack.running(victim, name)["Config"]["Labels"]
    return {key: value for key, value in labels.items() if key.startswith(GROUP)}


@injection
@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_our_labels_on_a_workspace_mean_nothing(stack: Stack, alice: Tenant, bob: Tenant, place: str) -> None:
    victim = stack.start(bob, "victim")
    alice.apply("forger", {}, **{place: _forged(stack, bob, "victim")})
    box = stack.running(alice, "forger")
    assert box["Config"]["Labels"][naming.LABEL_NAMESPACE] == "team-a"
    assert box["Config"]["Labels"][naming.LABEL_UID] == alice.workspace("forger")["metadata"]["uid"]
    alice.delete("forger")
    assert stack.running(bob, "victim")["Id"] == victim["Id"]


@injection
def test_our_labels_in_an_image_mean_nothing(stack: Stack, alice: Tenant, bob: Tenant) -> None:
    victim = stack.start(bob, "victim")
    stack.engine.load(sample.archive("forged:1", {"Labels": _forged(stack, bob, "victim")}))
    box = stack.start(alice, "forger", {"image": "forged:1"})
    mine = box["Config"]["Labels"]
    assert (mine[naming.LABEL_NAMESPACE], mine[naming.LABEL_NAME]) == ("team-a", "forger")
    assert mine[naming.LABEL_UID] == alice.workspace("forger")["metadata"]["uid"]
    alice.delete("forger")
    assert stack.running(bob, "victim")["Id"] == victim["Id"]


@injection
def test_labels_of_an_image_that_tools_on_the_host_act_on_are_taken_away(stack: Stack, alice: Tenant) -> None:
    acted_on = {
        "traefik.enable": "true",
        "com.centurylinklabs.watchtower.enable": "true",
        "aicli.dev/references": "x=y",
    }
    kept = {"org.opencontainers.image.title": "a picture"}
    stack.engine.load(sample.archive("labelled:1", {"Labels": acted_on | kept}))
    labels = stack.start(alice, "labelled", {"image": "labelled:1"})["Config"]["Labels"]
    assert {key: labels[key] for key in (*acted_on, *kept)} == dict.fromkeys(acted_on, "") | kept


@injection
@pytest.mark.parametrize(
    "name", ["../x", "a/b", "A", "a_b", "a b", "-a", "a" * 254, "a;reboot", "$(id)", "a\nb", "%2e%2e"]
)
def test_a_name_that_could_break_out_of_ours_is_refused(stack: Stack, alice: Tenant, name: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        alice.apply(name)


@injection
def test_a_long_name_keeps_its_own_container_name(stack: Stack, alice: Tenant) -> None:
    names = ["n" * 200 + end for end in ("a", "b")]
    boxes = [stack.start(alice, name) for name in names]
    assert boxes[0]["Name"] != boxes[1]["Name"]
    assert all(len(box["Name"]) <= 129 and box["Name"].startswith("/ws-team-a-") for box in boxes)


@injection
@pytest.mark.parametrize("field", ["labels", "containerName", "name", "hostname"])
def test_labels_and_names_of_the_container_are_no_fields(alice: Tenant, field: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        alice.apply("fields", {field: "x"})
    assert field in refusal.value.stderr


@identity
def test_a_name_in_two_namespaces_is_two_containers(stack: Stack, alice: Tenant, bob: Tenant) -> None:
    hers, his = stack.start(alice, "same"), stack.start(bob, "same")
    assert hers["Id"] != his["Id"]
    alice.delete("same")
    assert stack.containers("team-a", "same") == []
    assert stack.running(bob, "same")["Id"] == his["Id"]


@identity
def test_a_workspace_made_again_gets_a_container_of_its_own(stack: Stack, alice: Tenant) -> None:
    first = stack.start(alice, "again")
    alice.kubectl("delete", "workspace", "again", "--wait=false")
    eventually(lambda: alice.apply("again", {"owner": "second"}) or _uid(alice) != _label(first), PATIENCE)
    second = stack.running(alice, "again")
    assert second["Id"] != first["Id"]
    eventually(lambda: [c["Id"] for c in stack.containers("team-a", "again")] == [second["Id"]], PATIENCE)


@identity
def test_a_foreign_container_with_our_name_is_left_alone(stack: Stack, alice: Tenant) -> None:
    alice.apply("wanted", {"desiredState": "Stopped"})
    uid = alice.workspace("wanted")["metadata"]["uid"]
    name = naming.container_name("team-a", "wanted", uid)
    foreign = stack.engine.docker("run", "-d", "--name", name, "alpine:latest", "sleep", "3600").strip()
    try:
        alice.kubectl("patch", "workspace", "wanted", "--type=merge", "-p", '{"spec":{"desiredState":"Running"}}')
        eventually(lambda: alice.status("wanted")["lastError"]["reason"] == "NameConflict", PATIENCE)
        assert stack.engine.docker("inspect", "-f", "{{.State.Running}} {{.Name}}", foreign).split() == [
            "true",
            f"/{name}",
        ]
        alice.delete("wanted")
        assert stack.engine.docker("inspect", "-f", "{{.State.Running}}", foreign).strip() == "true"
    finally:
        stack.engine.docker("rm", "-f", foreign)


@identity
@pytest.mark.parametrize("cluster", ["", "00000000-0000-4000-8000-000000000000"])
def test_a_container_with_our_labels_but_another_cluster_is_left_alone(
    stack: Stack, alice: Tenant, cluster: str
) -> None:
    box = stack.start(alice, "copied")
    labels = _forged(stack, alice, "copied") | {naming.LABEL_CLUSTER: cluster}
    options = [f"--label={key}={value}" for key, value in labels.items()]
    copy = stack.engine.docker("run", "-d", *options, "alpine:latest", "sleep", "3600").strip()
    try:
        stack.engine.docker("rm", "-f", box["Id"])  # ours comes back, the copy isn't taken for it
        eventually(lambda: _ours(stack, copy), PATIENCE)
        alice.delete("copied")
        assert stack.engine.docker("inspect", "-f", "{{.State.Running}}", copy).strip() == "true"
    finally:
        stack.engine.docker("rm", "-f", copy)


@identity
def test_volumes_of_different_workspaces_never_meet(stack: Stack, alice: Tenant, bob: Tenant) -> None:
    """Names may hold dashes: x-y with z and x with y-z must not be one."""
    asked = [(alice, "x-y", "z"), (alice, "x", "y-z"), (bob, "x-y", "z")]
    boxes = [
        stack.start(tenant, name, {"volumes": [{"name": volume, "mountPath": "/cache", "reclaimPolicy": "Delete"}]})
        for tenant, name, volume in asked
    ]
    assert len({box["Mounts"][0]["Name"] for box in boxes}) == 3
    stack.execute(boxes[0], "touch", "/cache/of-alice")
    assert [stack.execute(box, "ls", "/cache")[1].strip() for box in boxes] == ["of-alice", "", ""]


def _uid(tenant: Tenant) -> str:
    return str(tenant.workspace("again")["metadata"]["uid"])


def _label(box: dict[str, dict[str, dict[str, str]]]) -> str:
    return box["Config"]["Labels"][naming.LABEL_UID]


def _ours(stack: Stack, copy: str) -> list[str]:
    return [c["Id"] for c in stack.containers("team-a", "copied") if c["Id"] != copy and c["State"]["Running"]]
