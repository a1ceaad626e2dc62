"""Debian packages that the commands need: the one place that names and installs them."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from devcluster.report import DevclusterError, say

ENGINE = ("docker.io", "containerd", "iptables", "iproute2", "tini")
SAMPLE_IMAGE = ("busybox-static",)
RUNC_BUILD = ("gcc", "libc6-dev", "pkg-config", "libseccomp-dev")
OBSERVABILITY = ("prometheus",)
COMMANDS = {"docker.io": "dockerd", "containerd": "containerd"}  # from elsewhere (docker-ce) they are as good
ATTACKS_AND_FAULTS = ("docker-registry", "libfaketime")
TESTS = (*SAMPLE_IMAGE, *RUNC_BUILD, *OBSERVABILITY, *ATTACKS_AND_FAULTS, "util-linux")
LOCK_SECONDS = 120  # that apt-get waits while another one works, such as a machine's own upgrades


def install(packages: Sequence[str]) -> None:
    """Install the packages that are missing. Raises DevclusterError where that is not ours to do."""
    absent = missing(packages)
    if not absent:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise DevclusterError(
            f"These packages are missing: {' '.join(absent)}. Install them (as root on Debian: "
            f"apt-get install {' '.join(absent)}) and run the command again."
        )
    say(f"Installing from Debian: {' '.join(absent)}")
    _apt_get(absent)


def install_engine(more: Sequence[str] = ()) -> None:
    """Docker Engine, `more`, and the command line, since Debian 13 a package of its own (older ones don't know it)."""
    install((*ENGINE, *more))
    if shutil.which("docker") is None:
        install(("docker-cli",))


def missing(packages: Iterable[str]) -> list[str]:
    """Which of the packages dpkg does not call installed, in the order asked for, less those whose command is there."""
    wanted = [package for package in packages if shutil.which(COMMANDS.get(package, "")) is None]
    if shutil.which("dpkg-query") is None:
        return wanted
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev}\n"]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    present = {line.split()[0] for line in listed.splitlines() if line.split()[1:2] == ["ii"]}
    return [package for package in wanted if package not in present]


def _apt_get(packages: Sequence[str]) -> None:
    lock = ["-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}"]
    command = ["apt-get", *lock, "install", "-y", "-qq", "--no-install-recommends", "--no-remove", *packages]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:  # the lists of a new machine are empty or old
        subprocess.run(["apt-get", *lock, "update", "-qq"], env=env, capture_output=True, check=False)
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DevclusterError(f"apt-get could not install {' '.join(packages)}:\n{(done.stdout + done.stderr)[-2000:]}")
