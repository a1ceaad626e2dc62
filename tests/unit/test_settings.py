"""The controller's command line."""

import pytest

from controller import settings


@pytest.mark.parametrize("listen", ["8081", "127.0.0.1", "localhost:http", ""])
def test_an_address_without_its_port_or_a_port_without_its_address_is_refused_with_the_form(
    listen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        settings.parse(["--listen", listen])
    assert f"--listen: {listen!r} is not ADDRESS:PORT, such as 127.0.0.1:8081" in capsys.readouterr().err


def test_an_address_is_taken_apart() -> None:
    assert settings.parse(["--listen", "127.0.0.1:8082"]).address == ("127.0.0.1", 8082)
    assert settings.parse(["--listen", "[::1]:8082"]).address == ("::1", 8082)
