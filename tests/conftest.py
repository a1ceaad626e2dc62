"""Real servers, shared by a whole test session or private to one test; nothing starts that no test asks for."""

import itertools
import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import settings

from devcluster import ControlPlane, Engine, Process
from devcluster.paths import REPOSITORY
from devcluster.ports import free_port
from devcluster.reaper import reaper
from tests.side_by_side import SideBySide
from tests.tables import TABLES, Gathering, Tables

settings.register_profile("shared-machine", deadline=None)  # a slow example says nothing of the code
settings.load_profile("shared-machine")
_CONTROLLERS = pytest.StashKey[list[Process]]()
_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLES] = Tables()
    config.pluginmanager.register(Gathering())
    config.pluginmanager.register(SideBySide())


class Kubectl(Protocol):
    """Runs kubectl as administrator and returns stdout; a failure raises CalledProcessError with stderr."""

    def __call__(self, *args: str, stdin: str | None = None) -> str: ...


@pytest.fixture(scope="session")
def _reaper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with reaper(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(scope="session")
def control_plane(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The session's control plane, with our CRDs. Who stops or breaks it takes ``new_control_plane`` instead."""
    yield from _control_plane(tmp_path_factory.mktemp("control-plane"))


@pytest.fixture
def new_control_plane(_reaper: None, tmp_path: Path) -> Iterator[Callable[..., ControlPlane]]:
    """Makes control planes for this test alone: ``new_control_plane(apiserver_args=[...])``."""
    started = []

    def make(**options: Any) -> ControlPlane:
        generator = _control_plane(tmp_path / f"control-plane-{next(_numbers)}", **options)
        started.append(generator)
        return next(generator)

    yield make
    for generator in started:
        next(generator, None)


@pytest.fixture(scope="session")
def engine(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The session's Docker engine (Debian's), with the image alpine:latest. Tests leave no container in it."""
    yield from _engine(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="session")
def engine29(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The session's current Docker engine."""
    yield from _engine(tmp_path_factory.mktemp("engine29"), version="29")


@pytest.fixture(scope="session")
def engine29_0(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The session's engine that refuses old versions of the API, as 29.0 to 29.2 do."""
    yield from _engine(tmp_path_factory.mktemp("engine29_0"), version="29", least_api="1.44")


@pytest.fixture
def new_engine(_reaper: None, tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Makes engines for this test alone, to stop, kill and pause: ``new_engine(live_restore=True)``."""
    started = []

    def make(**options: Any) -> Engine:
        generator = _engine(tmp_path / f"engine-{next(_numbers)}", **options)
        started.append(generator)
        return next(generator)

    yield make
    for generator in started:
        next(generator, None)


@pytest.fixture(scope="session")
def kubectl(control_plane: ControlPlane) -> Kubectl:
    """kubectl against the session's control plane."""
    return control_plane.kubectl


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A new namespace; its deletion is asked for at the end and not waited for."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def controller_process(
    _reaper: None, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., Process]]:
    """Starts ``python -m controller.main ARGS`` as a process of its own against a kubeconfig.

    ``controller_process(kubeconfig, "--flag", env={...})`` returns a Process: stop(), kill(), pause(), output(). Its
    metrics are on a free port unless ``--listen`` is given. It is stopped at the end, and the end of its log is shown
    when the test fails.
    """
    started = request.node.stash.setdefault(_CONTROLLERS, [])

    def start(kubeconfig: Path, *args: str, env: dict[str, str] | None = None) -> Process:
        listen = () if "--listen" in args else ("--listen", f"127.0.0.1:{free_port()}")
        command = [sys.executable, "-m", "controller.main", *args, *listen]
        environment = {"KUBECONFIG": str(kubeconfig), "PYTHONUNBUFFERED": "1"} | (env or {})
        process = Process(f"controller-{next(_numbers)}", command, tmp_path, env=environment, cwd=REPOSITORY)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the controllers' logs of a test that failed."""
    report = yield
    if report.failed:
        for process in item.stash.get(_CONTROLLERS, []):
            report.sections.append((f"{process.name}: {process.log}", process.tail(80)))
    return report


def _control_plane(directory: Path, **options: Any) -> Iterator[ControlPlane]:
    cluster = ControlPlane(directory, fsync=False, **options)
    try:
        cluster.start()
        _apply_crds(cluster)
        yield cluster
    finally:
        cluster.kill()


def _apply_crds(cluster: ControlPlane) -> None:
    crds = REPOSITORY / "crds"
    cluster.kubectl("apply", "--server-side", "-f", str(crds))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(crds))


def _engine(directory: Path, **options: Any) -> Iterator[Engine]:
    engine = Engine(directory, **options)
    try:
        engine.start()
        yield engine
    finally:
        engine.cleanup()
