"""Which host directories a Workspace may mount."""

import posixpath
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.policy.paths import NAMESPACE, RESERVED, is_inside, path_allowed, pattern_problems

PATTERN = "/srv/projects/{namespace}/*"
NAMESPACES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
COMPONENTS = st.sampled_from(
    ["", ".", "..", "srv", "projects", "team-a", "x", "*", NAMESPACE, "etc", "é", "a\0b", "\n", " "]
)
PATHS = st.lists(COMPONENTS | st.text(max_size=6), max_size=9).map("/".join) | st.text(max_size=40)


@pytest.mark.parametrize("name", ["shop", "shop-api", "shop.api", "..shop", "é", " ", "*", "{namespace}"])
def test_a_direct_child_of_the_namespaces_directory_is_allowed(name: str) -> None:
    assert path_allowed(f"/srv/projects/team-a/{name}", [PATTERN], "team-a")


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//", "/etc", "//etc", "/.", "relative", "/var/run/docker.sock", "/proc/self/root", "/dev/sda"),
        *("/srv/projects/team-a", "/srv/projects/team-a/", "/srv/projects/team-a/.", "/srv/projects/team-a/.."),
        *(
            "/srv/projects/team-a/x/",
            "/srv/projects/team-a/x/.",
            "/srv/projects/team-a/x/..",
            "/srv/projects/team-a//x",
        ),
        *("//srv/projects/team-a/x", "/srv/./projects/team-a/x", "/srv/projects/team-a/x/y", "/srv/projects/team-b/x"),
        *("/srv/projects/team-a/../team-b/x", "/srv/projects/team-a/../../../etc", "/srv/projects/*/x"),
        *(
            "/srv/projects/{namespace}/x",
            "/srv/projects/team-a/x\0",
            "/srv/projects/team-a/\n",
            "/srv/projects/team-a/\u2028",
        ),
        *("/SRV/projects/team-a/x", "/srv/projects/team-a/" + "x" * 5000, "/srv/projects/team-a/\ud800"),
    ],
)
def test_everything_else_is_refused(path: str) -> None:
    assert not path_allowed(path, [PATTERN], "team-a")


@given(PATHS, NAMESPACES)
@example("/srv/projects/a/../b", "a")
@example("/srv/projects/a//b", "a")
def test_no_spelling_of_a_path_passes_unless_it_is_a_direct_child(path: str, namespace: str) -> None:
    if path_allowed(path, [PATTERN], namespace):
        parent, name = posixpath.split(posixpath.normpath(path))
        assert parent == f"/srv/projects/{namespace}"
        assert name
        assert posixpath.normpath(path) == path
        assert "\0" not in path


@given(NAMESPACES, st.text(alphabet="abc/.*é", min_size=1, max_size=5), st.text(alphabet="abc/.*é", max_size=12))
def test_nothing_that_a_tenant_can_make_inside_a_project_is_a_project(namespace: str, project: str, made: str) -> None:
    path = f"/srv/projects/{namespace}/{project}"
    if path_allowed(path, [PATTERN], namespace):
        inside = posixpath.normpath(f"{path}/x{made}")
        assert not is_inside(inside, path) or not path_allowed(inside, [PATTERN], namespace)


@given(st.lists(NAMESPACES, min_size=2, max_size=2, unique=True), PATHS)
def test_a_path_is_never_allowed_to_two_namespaces(namespaces: list[str], path: str) -> None:
    assert not all(path_allowed(path, [PATTERN], namespace) for namespace in namespaces)


@given(PATHS.map(lambda path: path.removeprefix("/")), st.sampled_from(RESERVED))
def test_what_gives_the_host_away_is_refused_under_any_policy(below: str, reserved: str) -> None:
    pieces = f"{reserved}/{below}".split("/")
    for length in range(2, len(pieces) + 1):
        path = "/".join(pieces[:length])
        assert not path_allowed(path, [path], "team-a")
        assert not path_allowed(path, [posixpath.dirname(path).rstrip("/") + "/*"], "team-a")


def test_nothing_is_allowed_without_patterns() -> None:
    assert not path_allowed("/srv/projects/team-a/x", [], "team-a")


@pytest.mark.parametrize("namespace", ["", "..", "a/b", "*", "Team", "a" * 64])
def test_a_name_that_no_namespace_can_have_is_allowed_nothing(namespace: str) -> None:
    assert not path_allowed(f"/srv/projects/{namespace}/x", [PATTERN], namespace)


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "*", "/*", "/", "srv/*", "/srv/*/x", "/srv/**", "/srv/x*", "/srv/*x", "/srv//*", "/srv/../*", "/srv/*/"),
        *(
            "/srv/{name}/*",
            "/srv/{{namespace}}/*",
            "/srv/{/*",
            "/etc/*",
            "/proc/{namespace}",
            "/var/run/*",
            "/run/docker.sock",
        ),
    ],
)
def test_a_pattern_that_means_too_much_allows_nothing_and_is_told(pattern: str) -> None:
    assert pattern_problems([pattern])
    assert not path_allowed("/srv/projects/team-a/x", [PATTERN, pattern], "team-a")


@pytest.mark.parametrize(
    "nested",
    [
        ("/srv/projects/{namespace}/*", "/srv/projects/{namespace}/*/x"),
        ("/srv/projects/{namespace}/*", "/srv/projects/team-a"),
        ("/srv/projects/{namespace}", "/srv/projects/{namespace}/*"),
        ("/srv/{namespace}/*", "/srv/projects/{namespace}/*"),
        ("/srv/projects/*", "/srv/projects/{namespace}/*"),
        ("/srv/ns-{namespace}/*", "/srv/{namespace}-old/a/*"),
        ("/srv/shared", "/srv/shared/docs"),
    ],
)
def test_a_pattern_inside_another_allows_nothing(nested: tuple[str, str]) -> None:
    for patterns in (nested, nested[::-1]):
        assert pattern_problems(patterns)
        assert not path_allowed("/srv/projects/team-a/x", patterns, "team-a")


@pytest.mark.parametrize(
    "patterns",
    [
        ("/srv/projects/{namespace}/*", "/srv/shared/docs"),
        ("/srv/projects/{namespace}/*", "/srv/projects/shared/*"),
        ("/srv/a-{namespace}/*", "/srv/b-{namespace}/x/*"),
        ("/home/{namespace}",),
    ],
)
def test_patterns_side_by_side_are_fine(patterns: tuple[str, ...]) -> None:
    assert pattern_problems(patterns) == []


WORDS = ["a", "b", NAMESPACE, "a-{namespace}"]
PATTERNS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from(["", "/*"]).map(lambda end: "/srv/" + "/".join(parts) + end)
)


@given(st.lists(PATTERNS, min_size=1, max_size=3, unique=True))
def test_no_allowed_path_lies_inside_another_whoever_asks(patterns: list[str]) -> None:
    names = ("a", "b", "a-a")
    depth_4 = ("/srv/" + "/".join(parts) for n in range(1, 5) for parts in product(names, repeat=n))
    allowed = [path for path in depth_4 if any(path_allowed(path, patterns, namespace) for namespace in names)]
    assert not any(is_inside(inner, outer) for inner in allowed for outer in allowed)
