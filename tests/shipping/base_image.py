"""A base image with Python, made from Debian's packages as they are installed here: no registry is asked."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from devcluster import Engine, packages
from devcluster.paths import cache_dir

TAG = "local/python:slim"
ROOTS = ("python3", "python3-venv", "dash", "coreutils", "base-files", "libc-bin")
_MERGED = ("bin", "sbin", "lib", "lib64")  # links to the same below /usr
_UNUSED = re.compile(r"usr/(share/(doc|man|locale|info|lintian)|lib/python3[.]\d+/(test|idlelib|tkinter))/")
PYTHON = "/usr/bin/python3"


def load(engine: Engine) -> str:
    """Have the image in the engine; returns its name."""
    if not engine.has_image(TAG):
        engine.docker("import", str(archive()), TAG)
    return TAG


def wheels() -> Path:
    """A folder with the wheels of our dependencies for that Python, and what builds our own; kept in the cache."""
    project = Path(__file__).parents[2]
    needs = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    locked = project / "constraints.txt"
    key = hashlib.sha256((str(needs) + locked.read_text() + _closure_text()).encode()).hexdigest()[:12]
    folder = cache_dir() / "wheels" / key
    if not folder.exists():
        part = folder.with_suffix(f".{os.getpid()}")
        subprocess.run([PYTHON, "-m", "venv", part / "venv"], check=True)
        command = [part / "venv/bin/pip", "wheel", "-q", "--wheel-dir", part, "-c", locked, *needs, "setuptools>=77"]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(part / "venv")
        part.rename(folder)
    return folder


def archive() -> Path:
    """The tar of the root file system; kept in the cache."""
    packages.install(ROOTS)
    key = hashlib.sha256(_closure_text().encode()).hexdigest()[:12]
    path = cache_dir() / "images" / f"python-{key}.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        _write(part, closure())
        part.rename(path)
    return path


def closure() -> dict[str, str]:
    """The packages of ROOTS and everything that they depend on, with their versions."""
    query = ["dpkg-query", "--show", "--showformat=${Package}\t${Version}\t${Pre-Depends}, ${Depends}\n"]
    rows = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()
    installed = {name: (version, needs) for name, version, needs in (row.split("\t") for row in rows)}
    found: dict[str, str] = {}
    todo = list(ROOTS)
    while todo:
        name = todo.pop()
        if name in found or name not in installed:  # of alternatives only one is there
            continue
        found[name], needs = installed[name]
        todo += [re.split(r"[ :(]", need.strip())[0] for need in re.split(r"[,|]", needs) if need.strip()]
    return found


def _closure_text() -> str:
    return "\n".join(f"{name} {version}" for name, version in sorted(closure().items()))


def _write(path: Path, names: dict[str, str]) -> None:
    with tarfile.open(path, "w") as tar:
        for link in _MERGED:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{link}"
            tar.addfile(entry)
        for folder, mode in (("tmp", 0o1777), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("root", 0o700)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for file in sorted(set(_files(names)) - {Path("/", link) for link in _MERGED}):
            tar.add(file, arcname=str(file).lstrip("/"), recursive=False)


def _files(names: dict[str, str]) -> Iterator[Path]:
    """Each file and link of the packages, by the path that it really has."""
    listed = subprocess.run(["dpkg-query", "--listfiles", *names], check=True, capture_output=True, text=True).stdout
    for line in set(listed.splitlines()):
        path = Path(line)
        real = path.parent.resolve() / path.name if line.startswith("/") else path
        wanted = line.startswith("/") and (path.is_symlink() or path.is_file())
        if wanted and not _UNUSED.match(str(real).lstrip("/")):
            yield real
