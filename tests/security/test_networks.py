"""A tenant wants to reach a neighbour, the controller, or the host's ports."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.security.stack import PATIENCE, Stack, Tenant
from tests.waiting import eventually

network = pytest.mark.threat("network")
ports = pytest.mark.threat("ports")

SERVER = {"command": ["httpd", "-f", "-p", "8080", "-h", "/etc"]}
REQUEST = "printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} {port}"
FIRST_PORT, LAST_PORT = 20000, 29999
_LISTENING = "0A"


def _address(box: dict[str, Any]) -> str:
    (endpoint,) = box["NetworkSettings"]["Networks"].values()
    return str(endpoint["IPAddress"])


def _gateway(box: dict[str, Any]) -> str:
    (endpoint,) = box["NetworkSettings"]["Networks"].values()
    return str(endpoint["Gateway"])


def _reaches(stack: Stack, box: dict[str, Any], address: str, port: int = 8080) -> bool:
    _, output = stack.execute(box, "sh", "-c", REQUEST.format(address=address, port=port))
    return "HTTP/" in output


@network
@pytest.mark.parametrize("mode", ["Isolated", "Namespace"])
def test_a_neighbour_of_another_namespace_is_out_of_reach(stack: Stack, alice: Tenant, bob: Tenant, mode: str) -> None:
    target = stack.start(bob, "target", SERVER | {"network": {"mode": mode}})
    attacker = stack.start(alice, "attacker", {"network": {"mode": mode}})
    eventually(lambda: _reaches(stack, target, "127.0.0.1"), PATIENCE)
    assert not _reaches(stack, attacker, _address(target))
    assert not _reaches(stack, attacker, "target")


@network
def test_isolated_workspaces_of_one_namespace_do_not_reach_each_other(stack: Stack, alice: Tenant) -> None:
    target, attacker = stack.start(alice, "target", SERVER), stack.start(alice, "attacker")
    eventually(lambda: _reaches(stack, target, _address(target)), PATIENCE)
    assert not _reaches(stack, attacker, _address(target))
    assert not _reaches(stack, attacker, "target")


@network
def test_workspaces_reach_each_other_only_where_both_ask_for_it(stack: Stack, alice: Tenant) -> None:
    target = stack.start(alice, "target", SERVER | {"network": {"mode": "Namespace"}})
    friend = stack.start(alice, "friend", {"network": {"mode": "Namespace"}})
    isolated = stack.start(alice, "isolated")
    eventually(lambda: _reaches(stack, friend, _address(target)), PATIENCE)
    assert not _reaches(stack, isolated, _address(target))


_NO_ATTACK = re.compile("not found|File exists|unrecognized option|nvalid argument")  # it was not even tried


@network
@pytest.mark.parametrize(
    "command",
    [
        "arping -c 1 -w 2 -I eth0 {target}",
        "ping -c 1 -W 2 {target}",
        "ip addr add 10.210.0.99/24 dev eth0",
        "ip link set eth0 address 02:42:ac:00:00:01",
        "ip link set eth0 promisc on",
        "ip route replace default via {target}",
        "arp -s {target} 02:42:ac:00:00:01",
        "nc -w 2 {target} 8080 </dev/null",
        "traceroute -w 1 -m 1 {target}",
    ],
)
def test_nothing_can_be_spoofed_or_sent_to_an_isolated_neighbour(stack: Stack, alice: Tenant, command: str) -> None:
    target, attacker = stack.start(alice, "target", SERVER), stack.start(alice, "attacker")
    eventually(lambda: _reaches(stack, target, _address(target)), PATIENCE)
    code, output = stack.execute(attacker, "sh", "-c", command.format(target=_address(target)))
    assert code != 0, output
    assert not _NO_ATTACK.search(output), output


@network
def test_a_workspace_without_network_has_loopback_alone(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "alone", {"network": {"mode": "None"}})
    _, interfaces = stack.execute(box, "ls", "/sys/class/net")
    assert interfaces.split() == ["lo"]


@network
def test_the_controllers_ports_are_out_of_reach(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "attacker")
    port = int(stack.listen.rpartition(":")[2])
    for address in (_gateway(box), "127.0.0.1", "host.docker.internal", "localhost"):
        assert not _reaches(stack, box, address, port)
    assert stack.controller.pid is not None
    listeners = _listeners(stack.controller.pid)
    assert listeners
    assert set(listeners) <= {"0100007F"}, "the controller listens beside 127.0.0.1"


@network
def test_networks_come_from_the_hosts_pool_and_go_with_the_last_workspace(stack: Stack, alice: Tenant) -> None:
    box = stack.start(alice, "pooled")
    assert _address(box).startswith("10.210.")
    (name,) = box["NetworkSettings"]["Networks"]
    assert name.startswith("ws-team-a-isolated-")
    alice.delete("pooled")
    eventually(lambda: name not in stack.engine.docker("network", "ls", "--format", "{{.Name}}").split(), PATIENCE)


@ports
@pytest.mark.parametrize(
    "port",
    [
        {"containerPort": 8080, "hostPort": 22},
        {"containerPort": 8080, "hostIP": "0.0.0.0"},
        {"containerPort": 8080, "host_port": 22},
        {"containerPort": 8080, "publishedPort": 22},
        {"containerPort": 8080, "nodePort": 22},
        {"containerPort": 0},
        {"containerPort": -1},
        {"containerPort": 65536},
        {"containerPort": "22:8080"},
        {"containerPort": 8080, "protocol": "ICMP"},
        {"containerPort": 8080, "name": "0.0.0.0:22"},
    ],
    ids=str,
)
def test_the_hosts_address_and_port_are_not_the_tenants_choice(
    stack: Stack, alice: Tenant, port: dict[str, Any]
) -> None:
    assert "ports" in stack.refusal(alice, "port", {"ports": [{"name": "p"} | port]})


@ports
@pytest.mark.parametrize("container_port", [22, 443, 8080])
def test_ports_are_published_on_loopback_within_the_range(stack: Stack, alice: Tenant, container_port: int) -> None:
    box = stack.start(alice, "published", {"ports": [{"name": "p", "containerPort": container_port}]})
    ((binding,),) = box["NetworkSettings"]["Ports"].values()
    assert binding["HostIp"] == "127.0.0.1"
    assert FIRST_PORT <= int(binding["HostPort"]) <= LAST_PORT


@ports
def test_a_published_port_is_reached_from_the_host_alone(stack: Stack, alice: Tenant, bob: Tenant) -> None:
    box = stack.start(alice, "published", SERVER | {"ports": [{"name": "p", "containerPort": 8080}]})
    port = int(box["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"])
    neighbour = stack.start(bob, "neighbour")
    reach = [*stack.engine.enter, "busybox", "sh", "-c", REQUEST.format(address="127.0.0.1", port=port)]
    eventually(lambda: b"HTTP/" in subprocess.run(reach, capture_output=True, check=True).stdout, PATIENCE)
    for address in ("127.0.0.1", _gateway(neighbour), _gateway(box)):
        assert not _reaches(stack, neighbour, address, port)


@ports
def test_two_workspaces_never_share_a_port(stack: Stack, alice: Tenant, bob: Tenant) -> None:
    boxes = [stack.start(tenant, "sharer", {"ports": [{"name": "p", "containerPort": 80}]}) for tenant in (alice, bob)]
    chosen = [box["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] for box in boxes]
    assert len(set(chosen)) == 2


def _listeners(pid: int) -> list[str]:
    """Local addresses, as the kernel writes them, that a process listens on."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            continue  # closed meanwhile
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return [row[1].rpartition(":")[0] for row in rows if row[3] == _LISTENING and row[9] in inodes]
