"""Scalar types of the specs: every string is bounded, and what a pattern can't say kindly is a CEL rule."""

import re
from typing import Annotated

from pydantic import StringConstraints

from controller.api.rules import Rule, cel_string

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_COMPONENT = r"([^/.\x00-\x1f\x7f-\x9f][^/\x00-\x1f\x7f-\x9f]*|\.[^/.\x00-\x1f\x7f-\x9f][^/\x00-\x1f\x7f-\x9f]*)"
"""A file name, but "." and ".." (and the rare names that begin with two dots) and names with control characters."""
_ABSOLUTE = f"^(/{_COMPONENT})+$"
_KERNEL_ROOTS = ("/proc", "/sys", "/dev")
_IMAGE = (
    r"^(([a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?([.][a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(:[0-9]+)?/)?"
    r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}))?$"
)


def _matches(pattern: str, message: str) -> Rule:
    compiled = re.compile(pattern.removesuffix("$") + r"\Z")
    return Rule(f"self.matches({cel_string(pattern)})", message, lambda text: compiled.search(text) is not None)


def _under_kernel_root(path: str) -> bool:
    return any(path == root or path.startswith(root + "/") for root in _KERNEL_ROOTS)


NORMALIZED = _matches(
    _ABSOLUTE, "must be an absolute path other than '/', without '.', '..', '//', a trailing '/' or control characters"
)
OUTSIDE_KERNEL = Rule(
    cel="!(" + " || ".join(f"self == '{root}' || self.startsWith('{root}/')" for root in _KERNEL_ROOTS) + ")",
    message="must not be under /proc, /sys or /dev",
    holds=lambda path: not _under_kernel_root(path),
)

Name = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=rf"^{_LABEL}([.]{_LABEL})*$")]
"""Name of a Kubernetes object (DNS-1123 subdomain)."""
Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=f"^{_LABEL}$")]
"""DNS-1123 label."""
PortName = Annotated[str, StringConstraints(min_length=1, max_length=15, pattern=f"^{_LABEL}$")]
PlainText = Annotated[str, StringConstraints(max_length=253, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""One line for people: no control characters."""
Argument = Annotated[str, StringConstraints(max_length=65536, pattern=r"^[^\x00]*$")]
"""One argument of a process: anything but NUL."""
EnvName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")]
EnvValue = Annotated[str, StringConstraints(max_length=32000, pattern=r"^[^\x00]*$")]
"""Below the kernel's 128 KiB for one string, whatever the characters."""
DataKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""Key of a Secret or ConfigMap."""
Capability = Annotated[
    str,
    StringConstraints(min_length=2, max_length=32, pattern="^[A-Z][A-Z0-9_]*$"),
    Rule("!self.startsWith('CAP_')", "must be written without CAP_", lambda name: not name.startswith("CAP_")),
]
ImageReference = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    _matches(_IMAGE, "must be an image such as alpine:3.20 or registry:5000/team/app: lower case, no spaces or scheme"),
]
HostPath = Annotated[str, StringConstraints(min_length=1, max_length=1024), NORMALIZED]
"""Directory of the Docker host."""
ContainerPath = Annotated[str, StringConstraints(min_length=1, max_length=1024), NORMALIZED, OUTSIDE_KERNEL]
"""Mount point in a container."""
WorkingDir = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    _matches(
        f"^(/|(/{_COMPONENT})+)$",
        "must be an absolute path, without '.', '..', '//', a trailing '/' or control characters",
    ),
    OUTSIDE_KERNEL,
]
