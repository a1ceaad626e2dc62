"""The controller is started again when it ends, and ends with its supervisor."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devcluster import Process
from devcluster.supervisor import supervise
from tests.waiting import eventually


@contextmanager
def _supervised(process: Process) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=supervise, args=(process, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def test_a_killed_controller_is_started_again(tmp_path: Path) -> None:
    controller = Process("controller", ["sleep", "1000"], tmp_path)
    with _supervised(controller):
        first = eventually(lambda: controller.pid or 0)
        controller.kill()
        eventually(lambda: controller.pid not in (None, first))


def test_the_controller_is_stopped_with_its_supervisor(tmp_path: Path) -> None:
    controller = Process("controller", ["sleep", "1000"], tmp_path)
    with _supervised(controller):
        eventually(lambda: controller.running)
    assert not controller.running


def test_a_controller_that_ends_at_once_is_not_started_in_a_loop(tmp_path: Path) -> None:
    controller = Process("controller", ["sh", "-c", "echo run"], tmp_path)
    began = time.monotonic()
    with _supervised(controller):
        eventually(lambda: controller.output().count("run") == 2)
    assert time.monotonic() - began >= 1.0
    assert controller.output().count("run") == 2


def test_a_controller_that_cannot_be_started_now_is_started_later(tmp_path: Path) -> None:
    controller = Process("controller", ["sleep", "1000"], tmp_path)
    start, tries = controller.start, iter([OSError(28, "No space left on device")])

    def full_at_first() -> None:
        for error in tries:
            raise error
        start()

    controller.start = full_at_first  # type: ignore[method-assign, assignment]
    with _supervised(controller):
        eventually(lambda: controller.running)
