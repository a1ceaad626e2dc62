"""Image references, and the patterns that allow them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.errors import ConfigurationError
from controller.policy import normalize_image
from controller.policy.images import image_allowed, image_pattern_problem

DIGEST = "sha256:" + "ab" * 32
OTHER_DIGEST = "sha256:" + "cd" * 32


@pytest.mark.parametrize(
    ("reference", "normal"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("library/alpine", "docker.io/library/alpine:latest"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/team/app:1", "docker.io/team/app:1"),
        ("localhost/app", "localhost/app:latest"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("registry.example/a/b/c:v1", "registry.example/a/b/c:v1"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}"),
        (f"registry:5000/app:1@{DIGEST}", f"registry:5000/app@{DIGEST}"),
    ],
)
def test_a_reference_has_one_full_form(reference: str, normal: str) -> None:
    assert normalize_image(reference) == normal
    assert normalize_image(normal) == normal


@pytest.mark.parametrize(
    "reference",
    [
        *("", " ", "a b", "Alpine", "alpine:", ":3", "alpine:a b", "/alpine", "a//b", "alpine/", "../alpine", "-a"),
        *("https://registry.example/app", "alpine@sha256:abc", "alpine@", "alpine:-x", "alpine\n", "alpine\0"),
        *("ab" * 32, "sha256:" + "ab" * 32, "sha256:abcdef", "a" * 300),
    ],
)
def test_what_is_no_reference_is_refused_with_the_rule(reference: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an image reference") as refusal:
        normalize_image(reference)
    assert refusal.value.reason == "InvalidImageName"


@pytest.mark.parametrize(
    ("pattern", "reference"),
    [
        ("*", "anything:1"),
        ("alpine", "alpine"),
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:*", "alpine:3.20"),
        ("docker.io/library/*", "alpine:3.20"),
        ("registry.example/team/*", "registry.example/team/deep/app:1"),
        ("registry.example/team/app:v*", "registry.example/team/app:v2"),
        ("*.example.com/*", "registry.example.com/app"),
        ("alpine@sha256:*", f"alpine:3.20@{DIGEST}"),
    ],
)
def test_a_pattern_allows_what_it_says(pattern: str, reference: str) -> None:
    assert image_allowed(reference, [pattern])


@pytest.mark.parametrize(
    ("pattern", "reference"),
    [
        ("alpine", "alpine:3.20"),
        ("alpine", "evil/alpine"),
        ("alpine:*", "registry.example/alpine:3.20"),
        ("registry.example/team/*", "registry.example/team-b/app"),
        ("registry.example/team/*", "registry.example/other/team/app"),
        ("registry.example*", "registry.example.evil.com/app"),
        ("*.example.com/*", "evil.com/x.example.com/app"),
        ("*/app:1", "evil.com/deep/app:1"),
        ("alpine:3.20", f"alpine:3.20@{OTHER_DIGEST}"),
        ("alpine:3.*", f"alpine:3.20@{OTHER_DIGEST}"),
        (f"alpine@{DIGEST}", f"alpine@{OTHER_DIGEST}"),
        ("al.ine:1", "alpine:1"),
    ],
)
def test_a_pattern_allows_nothing_that_only_looks_alike(pattern: str, reference: str) -> None:
    assert not image_allowed(reference, [pattern])


def test_nothing_is_allowed_without_patterns() -> None:
    assert not image_allowed("alpine", [])


@pytest.mark.parametrize("pattern", ["", "a b", "alpine:?", "alpine:[0-9]", "a\n"])
def test_a_pattern_with_other_wildcards_is_told(pattern: str) -> None:
    assert image_pattern_problem(pattern)


@given(st.text(alphabet="abcA01:/@.-_ *\n", max_size=30))
def test_a_reference_is_normal_or_refused(reference: str) -> None:
    try:
        normal = normalize_image(reference)
    except ConfigurationError:
        return
    assert normalize_image(normal) == normal
    assert "/" in normal
    assert not any(c.isspace() for c in normal)
