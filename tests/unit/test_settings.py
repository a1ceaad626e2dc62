"""The controller's command line."""

import pytest

from controller import settings


@pytest.mark.parametrize(
    "listen",
    [
        "8081",
        "127.0.0.1",
        "localhost:http",
        "",
        ":8081",
        "[]:8081",
        "127.0.0.1:",
        "127.0.0.1:-1",
        "127.0.0.1:65536",
        "127.0.0.1: 1",
        "127.0.0.1:1_0",
        "127.0.0.1:٣",
    ],
)
def test_an_address_without_its_port_or_a_port_without_its_address_is_refused_with_the_form(
    listen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        settings.parse(["--listen", listen])
    assert f"--listen: {listen!r} is not ADDRESS:PORT, such as 127.0.0.1:8081" in capsys.readouterr().err


def test_an_address_is_taken_apart() -> None:
    assert settings.parse(["--listen", "127.0.0.1:8082"]).address == ("127.0.0.1", 8082)
    assert settings.parse(["--listen", "[::1]:8082"]).address == ("::1", 8082)
    assert settings.parse(["--listen", "0.0.0.0:0"]).address == ("0.0.0.0", 0)
    assert settings.parse(["--listen", "[::]:65535"]).address == ("::", 65535)


@pytest.mark.parametrize("interval", ["-5", "nan", "inf", "0.0001", "0.9", "1m", ""])
def test_an_interval_that_would_sample_without_a_pause_is_refused(
    interval: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        settings.parse([f"--usage-interval={interval}"])
    told = f"--usage-interval: {interval!r} is no interval: give seconds from 1 up, or 0 for no samples"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("interval", "seconds"), [("0", 0.0), ("1", 1.0), ("2.5", 2.5)])
def test_an_interval_is_in_seconds(interval: str, seconds: float) -> None:
    assert settings.parse(["--usage-interval", interval]).usage_interval == seconds


@pytest.mark.parametrize("namespace", ["", "A", "a b", "a.b", "-a", "a-", "a" * 64, "a\n"])
def test_a_namespace_that_can_be_none_is_refused(namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings.parse([f"--namespace={namespace}"])
    assert f"--namespace: {namespace!r} can't be a namespace: " in capsys.readouterr().err


def test_a_namespace_of_the_environment_is_looked_at_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POD_NAMESPACE", "a" * 63)
    assert settings.parse([]).namespace == "a" * 63
    monkeypatch.setenv("POD_NAMESPACE", "A b")
    with pytest.raises(SystemExit):
        settings.parse([])
    assert "'A b' can't be a namespace" in capsys.readouterr().err
