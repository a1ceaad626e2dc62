"""The rig: one control plane and two engines for all faults, a namespace and a controller for each; the table."""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from devcluster import ControlPlane, Engine, Process
from devcluster.paths import REPOSITORY
from devcluster.ports import free_port
from tests.faults.api import Api
from tests.faults.oracle import Oracle
from tests.faults.proxy import Proxy
from tests.faults.report import Row
from tests.faults.rig import PATIENCE, SERVICE_ACCOUNT, SYSTEM, Rig, host_body, prepare, through
from tests.tables import TABLES
from tests.waiting import eventually

_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes a row that failed, and shows the logs of its controllers."""
    report = yield
    row = _row_of(item)
    if report.failed and row is not None:
        row.failed = True
        row.injected = max(row.injected, 1)
        for process in getattr(item, "funcargs", {}).get("rig", _NoRig).processes:
            report.sections.append((process.name, process.tail(60)))
    return report


class _NoRig:
    processes: tuple[Process, ...] = ()


def _row_of(item: pytest.Item) -> Row | None:
    match = re.match(r"test_(\d\d)_", item.name)
    return item.config.stash[TABLES].faults.rows[int(match[1])] if match and "faults" in item.path.parts else None


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """The test's row of the table."""
    found = _row_of(request.node)
    assert found is not None, f"{request.node.name} names no row of the table"
    return found


@pytest.fixture(scope="session")
def fault_cluster(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for the faults alone."""
    cluster = ControlPlane(tmp_path_factory.mktemp("fault-cluster"), fsync=False)
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.kill)
        cluster.start()
        prepare(cluster)
        yield cluster


@pytest.fixture(scope="session")
def fault_engines(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Engine]]:
    """Two engines; the second has live-restore."""
    engines = {
        "default": Engine(tmp_path_factory.mktemp("fault-engine")),
        "second": Engine(tmp_path_factory.mktemp("fault-second"), live_restore=True),
    }
    with contextlib.ExitStack() as stack:
        for engine in engines.values():
            stack.callback(engine.cleanup)
            engine.start()
        yield engines


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the hosts' policies allow project paths."""
    return tmp_path_factory.mktemp("projects")


@pytest.fixture(scope="session")
def stack(
    fault_cluster: ControlPlane, fault_engines: dict[str, Engine], projects: Path
) -> Iterator[tuple[Proxy, dict[str, Proxy]]]:
    """The proxies, and DockerHosts that go through them."""
    with contextlib.ExitStack() as exits:
        kube = exits.enter_context(Proxy(fault_cluster.url, ca=fault_cluster.ca))
        sockets = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        dockers = {
            name: exits.enter_context(Proxy(engine.socket, listen=sockets / f"{name}.sock"))
            for name, engine in fault_engines.items()
        }
        for name, proxy in dockers.items():
            fault_cluster.kubectl("apply", "-f", "-", stdin=host_body(name, proxy.url, projects))
        yield kube, dockers


@pytest.fixture
def make_rig(
    fault_cluster: ControlPlane,
    fault_engines: dict[str, Engine],
    stack: tuple[Proxy, dict[str, Proxy]],
    tmp_path: Path,
) -> Iterator[Callable[..., Rig]]:
    """Makes rigs without a controller yet; checks at the end that no invariant was broken.

    `make_rig(cluster, proxy)` is for another cluster, which has a namespace of the same name.
    """
    kube, dockers = stack
    namespace = f"fault-{next(_numbers)}"
    rigs: list[Rig] = []

    def make(cluster: ControlPlane = fault_cluster, proxy: Proxy = kube) -> Rig:
        cluster.kubectl("create", "namespace", namespace)
        config = cluster.service_account_kubeconfig(SYSTEM, SERVICE_ACCOUNT)
        config = through(config, proxy, tmp_path / f"kubeconfig-{len(rigs)}")
        api = Api(cluster)
        oracle = Oracle(api, fault_engines)
        oracle.start()
        rigs.append(Rig(cluster, api, fault_engines, proxy, dockers, oracle, namespace, tmp_path, config, _start))
        return rigs[-1]

    yield make
    for proxy in (kube, *dockers.values()):
        proxy.rule = lambda call: None
    for server in (fault_cluster, *fault_engines.values()):
        if not server.running:  # a test that failed has left it so
            server.start()
    with contextlib.ExitStack() as exits:
        for rig in rigs:
            exits.callback(rig.oracle.stop)
            for process in rig.processes:
                exits.callback(process.stop)
            rig.clean()
    broken = [violation for rig in rigs for violation in rig.oracle.violations]
    assert not broken, broken


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """The rig with a controller that acts."""
    return _started(make_rig())


@pytest.fixture
def neighbour(
    make_rig: Callable[..., Rig],
    new_control_plane: Callable[[], ControlPlane],
    stack: tuple[Proxy, dict[str, Proxy]],
    projects: Path,
) -> Iterator[Rig]:
    """Another cluster with a controller of its own on the same Docker host."""
    cluster = new_control_plane()
    prepare(cluster)
    cluster.kubectl("apply", "-f", "-", stdin=host_body("default", stack[1]["default"].url, projects))
    with Proxy(cluster.url, ca=cluster.ca) as proxy:
        rig = _started(make_rig(cluster, proxy))
        yield rig
        rig.clean()
        rig.oracle.stop()
        rig.controller.stop()


def _started(rig: Rig) -> Rig:
    rig.start()
    eventually(lambda: rig.probe("/readyz") == 200, PATIENCE)
    return rig


def _start(rig: Rig, *args: str, env: dict[str, str], kubeconfig: Path | None = None) -> Process:
    rig.metrics = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "controller.main", "--listen", rig.metrics, "--namespace", SYSTEM, *args]
    environment = {"KUBECONFIG": str(kubeconfig or rig.kubeconfig), "PYTHONUNBUFFERED": "1"} | env
    name = f"controller-{next(_numbers)}"
    process = Process(name, command, rig.directory, env=environment, cwd=REPOSITORY)
    process.start()
    return process
