"""A state file that is damaged (the disk was full) counts as absent, and none is left half-written."""

import errno
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import ControlPlane, files, session
from devcluster.paths import state_dir
from devcluster.pki import Authority, service_account_key

DAMAGED = ("", '{"etcd": 12', "[]", "{}", '"text"')


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The state directory of this test; nothing in it runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    session.embedded.cache_clear()
    yield state_dir()
    session.embedded.cache_clear()


@pytest.mark.parametrize("content", DAMAGED)
def test_ports_that_cannot_be_read_are_chosen_anew(tmp_path: Path, content: str) -> None:
    ControlPlane(tmp_path)
    (tmp_path / "ports.json").write_text(content)
    anew = ControlPlane(tmp_path).url
    assert ControlPlane(tmp_path).url == anew


@pytest.mark.parametrize("content", DAMAGED)
def test_a_port_of_the_controller_that_cannot_be_read_is_chosen_anew(state: Path, content: str) -> None:
    (state / "controller.port").write_text(content)
    argv = session.controller().argv
    assert argv == session.controller().argv
    assert argv[-1] == f"127.0.0.1:{int((state / 'controller.port').read_text())}"


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_note_of_what_was_made_is_told_and_none(
    state: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert session.remembered() is None
    assert capsys.readouterr().err == ""
    note = state / "control-plane" / "made.json"
    note.write_text(content)
    assert session.remembered() is None
    told = capsys.readouterr().err
    assert str(note) in told
    assert "docker ps" in told
    made = session.Made("cluster", "unix:///docker.sock")
    session.remember(made)
    assert session.remembered() == made


@pytest.mark.parametrize("suffix", [".crt", ".key"])
@pytest.mark.parametrize("kept", [0, 40])
def test_a_damaged_certificate_or_key_is_made_anew(tmp_path: Path, suffix: str, kept: int) -> None:
    pair = Authority(tmp_path, "ca").server("server")
    other = Authority(tmp_path, "ca").server("other").key.read_bytes()
    damaged = pair.certificate.with_suffix(suffix)
    damaged.write_bytes(damaged.read_bytes()[:kept])
    assert Authority(tmp_path, "ca").server("server") == pair
    assert len(damaged.read_bytes()) > kept
    assert Authority(tmp_path, "ca").server("other").key.read_bytes() == other


@pytest.mark.parametrize("suffix", [".crt", ".key"])
def test_an_authority_that_is_made_anew_signs_anew_what_it_had_signed(tmp_path: Path, suffix: str) -> None:
    before = Authority(tmp_path, "ca").client("alice").certificate.read_bytes()
    (tmp_path / f"ca{suffix}").write_bytes(b"")
    after = Authority(tmp_path, "ca").client("alice").certificate.read_bytes()
    assert after != before
    assert Authority(tmp_path, "ca").client("alice").certificate.read_bytes() == after


def test_an_empty_key_of_service_accounts_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "service-account.key"
    path.touch()
    made = service_account_key(path).read_bytes()
    assert b"RSA PRIVATE KEY" in made
    assert service_account_key(path).read_bytes() == made


def test_a_full_disk_leaves_the_file_of_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    files.replace(path, b"before", mode=0o600)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        files.replace(path, b"after", mode=0o600)
    assert path.read_bytes() == b"before"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_stays_of_what_could_not_be_written(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        files.replace(state / "ports.json", b"{}")
    assert list(state.iterdir()) == []


def test_commands_that_change_something_wait_for_each_other(state: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with files.alone(state / "lock", "the first"):
            order.append("second")

    thread = threading.Thread(target=second)
    with files.alone(state / "lock", "nobody"):
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
