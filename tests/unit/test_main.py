"""How the process ends."""

import os
import subprocess
import sys
import time

import pytest

LOOKS_UP_A_NAME = """
import asyncio, sys, time
from lightkube import KubeConfig
from lightkube.config.models import Cluster, User
from controller import main
from controller.app import App

async def run(app):
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
    %s

App.run = run
main.kubeconfig = lambda: KubeConfig.from_one(cluster=Cluster(server="http://127.0.0.1:1"), user=User())
sys.argv[1:] = []
main.main()
"""


@pytest.mark.parametrize(
    ("ends", "code", "said"),
    [("pass", 0, "stopped"), ("raise OSError('lost')", 1, "can't go on")],
    ids=["when it is told to", "when it can't go on"],
)
def test_a_thread_that_hangs_does_not_hold_up_the_end_of_the_process(ends: str, code: int, said: str) -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", LOOKS_UP_A_NAME % ends], capture_output=True, text=True, timeout=50)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    ("named", "said"),
    [("/one:/two", "names several files"), ("/nowhere", "can't be used"), ("/tmp", "can't be used")],
    ids=["several", "none", "a folder"],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_in_a_line(named: str, said: str) -> None:
    command = [sys.executable, "-m", "controller.main"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, env=os.environ | {"KUBECONFIG": named})
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
