"""A tenant wants an image that is not for them."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster import sample
from tests.security.registry import Registry
from tests.security.stack import PATIENCE, Stack, Tenant
from tests.waiting import eventually

pytestmark = pytest.mark.threat("image policy")

PULL_SECRET = "kubernetes.io/dockerconfigjson"
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture(scope="module")
def registry(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry in the network of the shared engine."""
    started = Registry(stack.engine, tmp_path_factory.mktemp("registry"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def private_image(stack: Stack, registry: Registry) -> str:
    """An image that only the password opens; the engine has it no more."""
    stack.engine.load(sample.archive("made-private:1", {"Labels": {"of": "alice"}}))
    reference = registry.push("made-private:1", "alice/private:1")
    stack.engine.docker("rmi", "made-private:1")
    return reference


@pytest.fixture
def cached(stack: Stack, registry: Registry, private_image: str, alice: Tenant) -> str:
    """The private image, on the host because alice runs it by right."""
    alice.secret("regcred", registry.pull_secret(), PULL_SECRET)
    stack.start(alice, "by-right", {"image": private_image, "imagePullSecrets": [{"name": "regcred"}]})
    return private_image


@pytest.fixture
def listed(stack: Stack) -> Iterator[None]:
    """The shared host allows a few images only."""
    images = ["alpine:*", "registry.example/team/*", f"registry.example/pinned@{DIGEST}"]
    spec = {"endpoint": stack.engine.endpoint, "policy": stack.policy(images=images)}
    stack.apply_host("default", spec)
    yield
    stack.apply_host("default", spec | {"policy": stack.policy()})


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    "image",
    [
        *("busybox", "evil/alpine", "registry.example/alpine:1", "alpine-evil:1", "docker.io/evil/alpine:latest"),
        *("registry.example/other/app", "registry.example.evil.com/team/app", "evil.com/registry.example/team/app"),
        *("registry.example/team", "registry.example:443/team/app", f"alpine:latest@{DIGEST}", f"alpine@{DIGEST}"),
        *(f"registry.example/pinned@sha256:{'cd' * 32}", "registry.example/pinned:1", "registry.example/team/../x"),
        *(
            "ab" * 32,
            DIGEST,
            "sha256:abcdef",
            "abcdef",
            "ALPINE",
            "alpine latest",
            "alpine:latest\n",
            "*",
            "https://alpine",
        ),
    ],
)
def test_an_image_that_is_not_listed_is_refused(stack: Stack, alice: Tenant, image: str) -> None:
    assert "spec.image" in stack.refusal(alice, "image", {"image": image})


@pytest.mark.usefixtures("listed")
def test_a_listed_image_runs(stack: Stack, alice: Tenant) -> None:
    assert stack.start(alice, "listed", {"image": "docker.io/library/alpine:latest"})


@pytest.mark.parametrize("policy", ["IfNotPresent", "Never", "Always"])
def test_a_cached_private_image_is_not_for_a_neighbour(stack: Stack, cached: str, bob: Tenant, policy: str) -> None:
    bob.apply("thief", {"image": cached, "imagePullPolicy": policy})
    _assert_no_image(stack, bob, "thief")


def test_a_wrong_password_opens_no_cached_image(stack: Stack, registry: Registry, cached: str, bob: Tenant) -> None:
    bob.secret("guess", registry.pull_secret("guess"), PULL_SECRET)
    bob.apply("guesser", {"image": cached, "imagePullSecrets": [{"name": "guess"}]})
    _assert_no_image(stack, bob, "guesser")


def test_a_neighbours_pull_secret_can_not_be_named(stack: Stack, cached: str, bob: Tenant) -> None:
    bob.apply("namer", {"image": cached, "imagePullSecrets": [{"name": "regcred"}]})
    eventually(lambda: bob.status("namer")["lastError"], PATIENCE)
    assert stack.containers("team-b", "namer") == []
    message = stack.refusal(bob, "namer-2", {"imagePullSecrets": [{"name": "regcred", "namespace": "team-a"}]})
    assert "namespace" in message


@pytest.mark.parametrize("form", ["full", "hexadecimal", "short"])
def test_a_cached_private_image_can_not_be_named_by_its_id(stack: Stack, cached: str, bob: Tenant, form: str) -> None:
    (image,) = json.loads(stack.engine.docker("image", "inspect", cached))
    names = {"full": image["Id"], "hexadecimal": image["Id"][7:], "short": image["Id"][7:19]}
    try:
        bob.apply("by-id", {"image": names[form]})
    except subprocess.CalledProcessError as error:
        refusal = str(error.stderr)
        assert "spec.image" in refusal
    else:  # a name like any other to the API, an ID to Docker
        _assert_no_image(stack, bob, "by-id")


def test_a_cached_private_image_can_not_be_named_by_its_digest(stack: Stack, cached: str, bob: Tenant) -> None:
    (image,) = json.loads(stack.engine.docker("image", "inspect", cached))
    bob.apply("by-digest", {"image": image["RepoDigests"][0]})
    _assert_no_image(stack, bob, "by-digest")


def _assert_no_image(stack: Stack, tenant: Tenant, name: str) -> None:
    def told() -> dict[str, Any]:
        error: dict[str, Any] = tenant.status(name)["lastError"]
        assert error["class"] in ("Image", "Configuration")
        return error

    error = eventually(told, PATIENCE)
    assert stack.containers(tenant.namespace, name) == [], error
