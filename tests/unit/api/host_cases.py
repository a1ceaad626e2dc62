"""DockerHosts, good and bad."""

from typing import Any

from tests.unit.api.objects import Case, Object, docker_host


def _policy(**policy: Any) -> Object:
    return docker_host(policy=policy)


DOCKER_HOSTS = (
    Case("a local socket", docker_host()),
    Case("no endpoint", {**docker_host(), "spec": {}}, "spec.endpoint"),
    Case("TLS", docker_host(endpoint="tcp://10.0.0.1:2376", tlsSecretRef={"name": "tls"})),
    Case("SSH", docker_host(endpoint="ssh://me@big.example.com:22", sshSecretRef={"name": "ssh"})),
    Case("plain TCP", docker_host(endpoint="tcp://10.0.0.1:2375"), "spec.tlsSecretRef"),
    Case("TCP by SSH's Secret", docker_host(endpoint="tcp://a:1", sshSecretRef={"name": "a"}), "SecretRef"),
    Case("TCP without a port", docker_host(endpoint="tcp://a", tlsSecretRef={"name": "a"}), "spec.endpoint"),
    Case("SSH without a Secret", docker_host(endpoint="ssh://a"), "spec.sshSecretRef"),
    Case("TLS for a socket", docker_host(tlsSecretRef={"name": "a"}), "spec.tlsSecretRef"),
    Case("SSH for a socket", docker_host(sshSecretRef={"name": "a"}), "spec.sshSecretRef"),
    Case("HTTP", docker_host(endpoint="http://a:2375"), "spec.endpoint"),
    Case("a bare path", docker_host(endpoint="/var/run/docker.sock"), "spec.endpoint"),
    Case("a relative socket", docker_host(endpoint="unix://var/run/docker.sock"), "spec.endpoint"),
    Case("a socket with two dots", docker_host(endpoint="unix:///var/../docker.sock"), "spec.endpoint"),
    Case("an endpoint with a newline", docker_host(endpoint="unix:///a\n"), "spec.endpoint"),
    Case(
        "an option of ssh as its host",
        docker_host(endpoint="ssh://-oProxyCommand=a", sshSecretRef={"name": "a"}),
        "endpoint",
    ),
    Case(
        "an upper case Secret", docker_host(endpoint="tcp://a:1", tlsSecretRef={"name": "A"}), "spec.tlsSecretRef.name"
    ),
    Case("one operation at a time", docker_host(maxConcurrentOperations=1), "spec.maxConcurrentOperations"),
    Case("two operations at a time", docker_host(maxConcurrentOperations=2)),
    Case("an unknown field of the policy", _policy(privileged=True), "spec.policy.privileged"),
    Case("all namespaces", _policy(namespaces={"matchNames": ["*"]})),
    Case(
        "a namespace in upper case", _policy(namespaces={"matchNames": ["A"]}), "spec.policy.namespaces.matchNames[0]"
    ),
    Case("the beginning of a namespace", _policy(namespaces={"matchNames": ["team-*"]})),
    Case("names and a selector", _policy(namespaces={"matchNames": ["a"], "selector": {}}), "spec.policy.namespaces"),
    Case(
        "a selector",
        _policy(
            namespaces={
                "selector": {
                    "matchLabels": {"kubernetes.io/metadata.name": "a", "b": ""},
                    "matchExpressions": [
                        {"key": "a", "operator": "In", "values": ["b"]},
                        {"key": "a", "operator": "Exists"},
                    ],
                }
            }
        ),
    ),
    Case(
        "a selector with a bad key",
        _policy(namespaces={"selector": {"matchLabels": {"a b": "c"}}}),
        "spec.policy.namespaces.selector.matchLabels",
    ),
    Case(
        "a selector with a bad value",
        _policy(namespaces={"selector": {"matchLabels": {"a": "b c"}}}),
        "spec.policy.namespaces.selector.matchLabels",
    ),
    Case(
        "an expression without values",
        _policy(namespaces={"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
        "matchExpressions[0].values",
    ),
    Case(
        "an expression with too many values",
        _policy(namespaces={"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}),
        "matchExpressions[0].values",
    ),
    Case(
        "project paths",
        _policy(projectPaths=["/srv/projects/{namespace}/*", "/srv/shared/docs", "/data/ns-{namespace}/x"]),
    ),
    *(
        Case(f"the project path {path}", _policy(projectPaths=[path]), "spec.policy.projectPaths[0]")
        for path in (
            "srv/a",
            "/*/a",
            "/srv/a*",
            "/srv/*/*",
            "/srv/../a",
            "/srv//a",
            "/srv/{name}/a",
            "/",
            "/srv/",
            "/srv/./a",
        )
    ),
    *(
        Case(f"{inner} inside {outer}", _policy(projectPaths=[inner, outer]), "spec.policy.projectPaths")
        for outer, inner in (
            ("/srv/a", "/srv/a/b"),
            ("/srv/*", "/srv/a/b"),
            ("/srv/{namespace}/*", "/srv/team/a/b"),
            ("/srv/team/*", "/srv/{namespace}/a/b"),
            ("/srv/{namespace}", "/srv/{namespace}/*"),
        )
    ),
    Case("paths beside each other", _policy(projectPaths=["/srv/a", "/srv/ab", "/srv/a-b/*", "/srv/b/{namespace}/c"])),
    Case("images", _policy(images=["*", "registry.example.com:5000/team/*", "alpine:3.*"])),
    Case("an image pattern with a space", _policy(images=["a b"]), "spec.policy.images[0]"),
    Case("no memory for anyone", _policy(maxResources={"memory": "0"}), "spec.policy.maxResources.memory"),
    Case("a range of ports", _policy(ports={"address": "0.0.0.0", "range": "1-65535"})),
    Case("a range backwards", _policy(ports={"range": "30000-20000"}), "spec.policy.ports.range"),
    Case("a range from 0", _policy(ports={"range": "0-10"}), "spec.policy.ports.range"),
    Case("a range beyond 65535", _policy(ports={"range": "65535-65536"}), "spec.policy.ports.range"),
    Case("a range that is a port", _policy(ports={"range": "8080"}), "spec.policy.ports.range"),
    Case("an IPv6 address", _policy(ports={"address": "::1"})),
    *(
        Case(f"the address {address}", _policy(ports={"address": address}), "spec.policy.ports.address")
        for address in ("localhost", "256.0.0.1", "127.0.0.01", "fe80::1%eth0", "::ffff:1.2.3.4", "1.2.3", "")
    ),
    Case("a pool of its own size", _policy(addressPool={"base": "10.0.0.0/24", "size": 24})),
    *(
        Case(f"the pool {base}", _policy(addressPool={"base": base}), "spec.policy.addressPool.base")
        for base in (
            "10.0.0.1/16",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "fd00::/16",
            "10.0.0.0/255.0.0.0",
            "10.00.0.0/16",
            "a.b.c.d/16",
        )
    ),
    Case("parts larger than the pool", _policy(addressPool={"base": "10.0.0.0/24", "size": 16}), "addressPool.size"),
    Case("parts of one address", _policy(addressPool={"size": 32}), "spec.policy.addressPool.size"),
    Case("an unknown enforcement", _policy(enforcement="Kill"), "spec.policy.enforcement"),
)
