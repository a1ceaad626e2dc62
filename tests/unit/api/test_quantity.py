"""Quantities: exact numbers, never "unlimited" for what can't be read."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api import parse_cpu, parse_memory
from controller.api.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", "2"), ("0.5", "0.5"), (".5", "0.5"), ("5.", "5"), ("+1", "1"), ("-1", "-1"), ("250m", "0.25"),
        ("5u", "0.000005"), ("5n", "0.000000005"), ("2k", "2000"), ("1M", "1000000"), ("1Ki", "1024"), ("0", "0"),
        ("1.5Gi", "1610612736"), ("1e3", "1000"), ("1E3", "1000"), ("1E-3", "0.001"), ("1E", "1000000000000000000"),
        ("1Ei", "1152921504606846976"),
    ],
)  # fmt: skip
def test_a_quantity_is_the_exact_number(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "Mi", "1mi", "1 Gi", "1Gib", "1e", "1e+", "0x1", "1_0", "inf", "nan", "１", "1e100"]
)
def test_what_is_not_a_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="256Mi"):
        parse_quantity(text)


def test_cpus_are_nano_cpus() -> None:
    assert [parse_cpu(text) for text in ("250m", "0.5", "2", "1e3")] == [25 * 10**7, 5 * 10**8, 2 * 10**9, 10**12]


def test_memory_is_bytes() -> None:
    assert [parse_memory(text) for text in ("6Mi", "256Mi", "1e9", "2G")] == [6 * 2**20, 2**28, 10**9, 2 * 10**9]


def test_fractions_are_rounded_up_and_never_down_to_nothing() -> None:
    assert parse_cpu("0.0010000000001") == 1_000_001
    assert parse_memory("6291456.5") == 6291457


@pytest.mark.parametrize("text", ["0", "-1", "4097", "0.9m", "1Ti"])
def test_cpus_beyond_reason_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="CPU must be"):
        parse_cpu(text)


@pytest.mark.parametrize("text", ["0", "-1Gi", "6291455", "2Pi", "9E", "250m"])
def test_memory_below_dockers_least_or_beyond_reason_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="memory must be"):
        parse_memory(text)


@given(st.text(alphabet="0123456789.+-eEinumkKMGTPi ", max_size=40))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_quantity(text).is_finite()


@given(st.integers(6 * 2**20, 2**50))
def test_bytes_are_read_as_they_are_written(size: int) -> None:
    assert parse_memory(str(size)) == size
