"""The stack that is attacked, shared by all attacks, and the table of what they came to."""

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from devcluster import ControlPlane, Engine, Process
from devcluster.paths import REPOSITORY
from devcluster.ports import free_port
from tests.security.api import Api
from tests.security.report import THREATS
from tests.security.stack import PATIENCE, SERVICE_ACCOUNT, SYSTEM, Stack, Tenant
from tests.tables import TABLES
from tests.waiting import eventually


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker that says which row of the threat model a test attacks."""
    config.addinivalue_line("markers", "threat(row): the row of the threat model that the test attacks")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Counts the attack, and shows the controller's log where it was not stopped."""
    report = yield
    marker = item.get_closest_marker("threat")
    if marker and (report.when == "call" or not report.passed):  # what a fixture finds at the end counts too
        item.config.stash[TABLES].threats.add(marker.args[0], report.passed)
    if report.failed and "stack" in getattr(item, "funcargs", {}):
        report.sections.append(("controller", item.funcargs["stack"].controller.tail(60)))  # type: ignore[attr-defined]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that attacks no known row would be counted nowhere."""
    for item in items:
        marker = item.get_closest_marker("threat")
        if marker and marker.args[0] not in THREATS:
            raise pytest.UsageError(f"{item.nodeid}: {marker.args[0]!r} is no row of the threat model")


@pytest.fixture(scope="session")
def secure_cluster(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of its own: another controller beside ours would spoil the picture."""
    cluster = ControlPlane(tmp_path_factory.mktemp("security-cluster"), fsync=False)
    try:
        cluster.start()
        crds = str(REPOSITORY / "crds")
        cluster.kubectl("apply", "--server-side", "-f", crds)
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crds)
        cluster.kubectl("apply", "-k", str(REPOSITORY / "manifests" / "rbac"))
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture(scope="session")
def secure_engine(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The Docker engine that both tenants share."""
    yield from _engine(Engine(tmp_path_factory.mktemp("security-engine")))


@pytest.fixture(scope="session")
def remote_engine(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A second engine, reached by TLS with client certificates."""
    yield from _engine(Engine(tmp_path_factory.mktemp("security-remote"), tls=True))


@pytest.fixture(scope="session")
def stack(
    secure_cluster: ControlPlane, secure_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The controller runs as a process, with the rights of its ClusterRole alone."""
    directory = tmp_path_factory.mktemp("security")
    listen = f"127.0.0.1:{free_port()}"
    controller = _controller(secure_cluster, directory, listen)
    tenants = [_tenant(secure_cluster, user, namespace) for user, namespace in (("alice", "team-a"), ("bob", "team-b"))]
    admin = Api(secure_cluster.kubeconfig)
    found = Stack(secure_cluster, admin, secure_engine, controller, listen, directory / "projects", *tenants)
    for tenant in tenants:
        found.project(tenant.namespace, "shop")
    found.apply_host("default", {"endpoint": secure_engine.endpoint, "policy": found.policy()})
    controller.start()
    try:
        eventually(lambda: found.host_ready("default")["status"] == "True", PATIENCE)
        yield found
    except AssertionError as error:
        error.add_note(controller.tail())
        raise
    finally:
        controller.stop()


@pytest.fixture
def alice(stack: Stack) -> Iterator[Tenant]:
    """The attacker; her Workspaces are deleted at the end."""
    yield stack.alice
    stack.alice.delete_all()


@pytest.fixture
def bob(stack: Stack) -> Iterator[Tenant]:
    """The neighbour; his Workspaces are deleted at the end."""
    yield stack.bob
    stack.bob.delete_all()


def _engine(engine: Engine) -> Iterator[Engine]:
    try:
        engine.start()
        yield engine
    finally:
        engine.cleanup()


def _controller(cluster: ControlPlane, directory: Path, listen: str) -> Process:
    config = cluster.service_account_kubeconfig(SYSTEM, SERVICE_ACCOUNT)
    options = ["--listen", listen, "--namespace", SYSTEM, "--log-format", "json", "--log-level", "debug"]
    command = [sys.executable, "-m", "controller.main", *options]
    environment = {"KUBECONFIG": str(config), "PYTHONUNBUFFERED": "1"}
    return Process("controller", command, directory, env=environment, cwd=REPOSITORY)


def _tenant(cluster: ControlPlane, user: str, namespace: str) -> Tenant:
    cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("create", "rolebinding", user, "-n", namespace, "--clusterrole=edit", f"--user={user}")
    kubeconfig = cluster.user_kubeconfig(user)
    tenant = Tenant(namespace, kubeconfig, Api(kubeconfig))
    eventually(lambda: "yes" in tenant.kubectl("auth", "can-i", "create", "workspaces.aicli.dev"), PATIENCE)
    return tenant
