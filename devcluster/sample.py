"""Images made on this machine from Debian's busybox-static, for places where no registry can be reached."""

import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devcluster import packages
from devcluster.paths import cache_dir

IMAGE = "alpine:latest"  # what a Workspace that names no image asks for
_BUSYBOX = Path("/bin/busybox")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
    "etc/os-release": 'ID=busybox\nPRETTY_NAME="busybox, made on this machine"\n',
}
_DIRECTORIES = {"bin": 0o755, "etc": 0o755, "proc": 0o755, "sys": 0o755, "root": 0o700, "tmp": 0o1777, "var": 0o755}


def archive(tag: str = IMAGE, config: Mapping[str, Any] | None = None, files: Mapping[str, str] | None = None) -> Path:
    """The path of a tar for ``docker load``, with busybox and its applets; kept in the cache.

    ``config`` adds to the image's config, in Docker's words (``{"Healthcheck": ...}``, ``{"StopSignal": ...}``);
    ``files`` adds executable text files by their path. The same arguments always give the same image ID.
    """
    packages.install(packages.SAMPLE_IMAGE)
    asked = json.dumps([tag, config, files, _FILES, list(_DIRECTORIES), _BUSYBOX.stat().st_size], default=dict)
    path = cache_dir() / "images" / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(_image(tag, dict(config or {}), dict(files or {})))
        part.replace(path)
    return path


def _image(tag: str, config: dict[str, Any], files: dict[str, str]) -> bytes:
    layer = _layer(files)
    settings = {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"]} | config
    image = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }
    text = json.dumps(image).encode()
    name = hashlib.sha256(text).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for file, content in ((name, text), ("layer.tar", layer), ("manifest.json", json.dumps(manifest).encode())):
                _add(tar, file, content)
        return buffer.getvalue()


def _layer(files: Mapping[str, str]) -> bytes:
    applets = subprocess.run([_BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for directory, mode in _DIRECTORIES.items():
                _add(tar, directory, mode=mode, kind=tarfile.DIRTYPE)
            _add(tar, "bin/busybox", _BUSYBOX.read_bytes(), mode=0o755)
            for applet in sorted(set(applets) - {"busybox"}):
                _add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
            for path, text in (_FILES | dict(files)).items():
                _add(tar, path.lstrip("/"), text.encode(), mode=0o644 if path in _FILES else 0o755)
        return buffer.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    content: bytes = b"",
    *,
    mode: int = 0o644,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
) -> None:
    """Add one entry with no owner's name and no time of today, so that the image ID depends on content alone."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.type, entry.linkname = len(content), mode, kind, link
    tar.addfile(entry, io.BytesIO(content))
