"""YAML is read as Go reads it. The values are those that sigs.k8s.io/yaml gave for these texts."""

import math
import time
from pathlib import Path

import pytest

from controller.cli.manifests import Unreadable, documents
from controller.cli.scalars import is_timestamp, resolve

PREFIX = "tag:yaml.org,2002:"


def read(tmp_path: Path, text: str) -> list[object]:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return [document.object for document in documents(str(path))]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE")),
        *((word, False) for word in ("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE")),
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        *(
            (word, word)
            for word in ("yEs", "oN", "nULL", "tRUE", "<<", "=", "+", "-", ".", "a", "0x_", "0b_", "0x", "_1")
        ),
        *((word, word) for word in ("0x1p3", "0o8", "-0b-1", "1.2.3", "1:30", "12:30:45", "2024-01-02", "٣", ".٣")),
        *(
            (word, word)
            for word in ("._5", ".5_", ".5__5", ".e5", "1e", "1e999", "." + "5" * 9 + "e999", "+inf", "nan")
        ),
        *(("0", 0), ("-0", 0), ("+12", 12), ("1_000", 1000), ("010", 8), ("0o17", 15), ("0O17", 15), ("-010", -8)),
        *(("0x1F", 31), ("0X1F", 31), ("-0xf_f", -255), ("0b11", 3), ("0B1", 1), ("-0b11", -3), ("0b-11", -3)),
        *(("0b+1", 1), ("9223372036854775807", 2**63 - 1), ("18446744073709551615", 2**64 - 1), ("0" * 200 + "7", 7)),
        *(("08", 8.0), ("1_0.5", 10.5), ("1.", 1.0), (".5", 0.5), (".5_5", 0.55), ("+.5", 0.5), ("1e3", 1000.0)),
        *(("18446744073709551616", 2.0**64), ("-9223372036854775809", -(2.0**63)), ("9" * 20, 1e20), ("1e-999", 0.0)),
        *((".inf", math.inf), ("+.Inf", math.inf), ("-.INF", -math.inf), ("9" * 5000, "9" * 5000)),
    ],
)
def test_a_plain_word_means_what_it_means_to_go(text: str, value: object) -> None:
    found = resolve("", text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [
        *(("str", "12", "12"), ("str", "", ""), ("int", "0x10", 16), ("float", "1", 1.0), ("bool", "y", True)),
        *(("null", "~", None), ("timestamp", "2024-01-02", "2024-01-02"), ("merge", "a", "a"), ("set", "1", "1")),
    ],
)
def test_a_tag_that_fits_is_obeyed_and_another_one_passed_over(tag: str, text: str, value: object) -> None:
    found = resolve(PREFIX + tag, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        *(("int", "x"), ("int", "1.5"), ("int", ""), ("int", "0x_"), ("float", "x"), ("float", "18446744073709551615")),
        *(("bool", "1"), ("bool", "maybe"), ("null", "x"), ("timestamp", "12"), ("timestamp", "soon")),
    ],
)
def test_a_tag_that_does_not_fit_is_refused_in_words(tag: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^is not what its tag !!{tag} says$"):
        resolve(PREFIX + tag, text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *(("2024-01-02", True), ("2024-1-2", True), ("0000-02-29", True), ("2024-01-02T03:04:05Z", True)),
        *(("2024-01-02t3:4:5.123+01:00", True), ("2024-01-02   3:4:5.5", True), ("2024-01-02 3:4:5Z", False)),
        *(("2024-02-30", False), ("2024-01-02T3:4:5", False), ("2024-01-02t3:4:5z", False), ("24-01-02", False)),
        *(("2024-01-02T24:00:00Z", False), ("12024-01-02", False)),
    ],
)
def test_a_time_is_one_for_go(text: str, is_one: bool) -> None:
    assert is_timestamp(text) is is_one


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("- &a {x: 1}\n- {<<: *a, x: 2}\n- {x: 2, <<: *a}", [{"x": 1}, {"x": 2}, {"x": 1}]),
        ("{<<: [{a: 1}, {a: 2, b: 3}], c: 4}", {"a": 1, "b": 3, "c": 4}),
        ("{<<: {<<: {a: 1}, b: 2}}", {"a": 1, "b": 2}),
        ("{'<<': 5}", {"<<": 5}),
        ("[&a 1, *a, &a 2, *a]", [1, 1, 2, 2]),
        ("{1: a, y: b, 1.5: c, 1e6: d, 010: e}", {"1": "a", "true": "b", "1.5": "c", "1e+06": "d", "8": "e"}),
        ("! 12", "12"),
        ("!!set {a}", {"a": None}),
        ("!mine [!mine a, !!binary aGk=, !!binary /w==]", ["a", "hi", "\ufffd"]),
        ('{\n\t"a":\t[\n\t\t1\n\t]\n}', {"a": [1]}),
    ],
)
def test_documents_are_decoded_as_by_go(text: str, value: object, tmp_path: Path) -> None:
    assert read(tmp_path, text) == [value]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: *a", "2: is not valid YAML: there is no anchor 'a' above"),
        ("a: 1\nb: &b\n  c: *b", "3: is not valid YAML: the value of the anchor contains itself"),
        ("a: &a\n  <<: *a", "2: is not valid YAML: the value of the anchor contains itself"),
        ("a:\n  <<: [1]", "2: is not valid YAML: only objects can be merged with <<"),
        ("a: 1\n~: 2", "2: is not valid YAML: must be a string to be the key of a field"),
        ("a: 1\n[b]: 2", "2: is not valid YAML: must be a string to be the key of a field"),
        ("a: 1\n1: b\n'1': c", "3: is not valid YAML: the key '1' is there twice"),
        ("a: .nan", "1: is not valid YAML: infinity and what is no number can't be sent: JSON has neither"),
        ("a:\n  !!int soon", "2: is not valid YAML: is not what its tag !!int says"),
        ("a: !!binary '!'", "1: is not valid YAML: is no base64, as its tag !!binary says"),
        ('a:\n  "\\U00110000"', "2: is not valid YAML: "),
        ("a: !x!y z", "1: is not valid YAML: found undefined tag handle"),
        ("[" * 2000 + "]" * 2000, "1: is nested too deeply"),
    ],
)
def test_what_go_refuses_is_told_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as told:
        read(tmp_path, text)
    assert str(told.value).startswith(f"{tmp_path / 'a.yaml'}:{message}")


def multiplied(levels: int) -> str:
    """A list of nine, nine of these, and so on."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_aliases_that_multiply_are_refused_at_once(tmp_path: Path) -> None:
    started = time.process_time()
    with pytest.raises(Unreadable, match=r"a\.yaml:\d: is not valid YAML: aliases multiply what is there"):
        read(tmp_path, multiplied(9))
    assert time.process_time() - started < 5
    assert len(read(tmp_path, multiplied(3))) == 1


def test_a_list_whose_items_come_from_a_merge_is_read(tmp_path: Path) -> None:
    text = "metadata: &a\n  items: [{kind: A}]\nkind: List\n<<: *a\n"
    assert read(tmp_path, text) == [{"kind": "A"}]
