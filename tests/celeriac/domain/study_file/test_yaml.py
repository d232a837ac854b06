"""YAML 1.2: what plain words mean, and what is no good YAML, or no text at all."""

import math
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.space import Choice
from celeriac.domain.study_file import load, plain_scalar
from tests.celeriac.domain.study_file.files import STUDY, told, write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1e4", 1e4),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-3", -3),
        ("+1", 1),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        *[(word, word) for word in ("on", "off", "no", "yes", "y", "1:30", "1_000", "2026-11-23", "0b1", "e4", ".")],
    ],
)
def test_plain_scalars_are_yaml_1_2(text: str, value: Any) -> None:
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


def test_nan_is_a_number() -> None:
    found = plain_scalar(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


def test_quoted_text_stays_text_and_words_stay_words(tmp_path: Path) -> None:
    text = STUDY.replace("[sgd, adam]", "[sgd, adam, on, off, '1e4', \"true\", 1e4, true, null]")
    choice = load(write(tmp_path, f"%YAML 1.1\n---\n{text}")).space.parameters["optimizer"]
    assert isinstance(choice, Choice)
    assert choice.options == ("sgd", "adam", "on", "off", "1e4", "true", 1e4, True, None)


def test_anchors_are_read(tmp_path: Path) -> None:
    text = STUDY.replace("{choice: [sgd, adam]}", "&both {choice: [sgd, adam]}") + "# end\n"
    text = text.replace("default:", "  other: *both\ndefault:").replace("width: 64,", "width: 64, other: adam,")
    spec = load(write(tmp_path, text))
    assert spec.space.parameters["other"] == spec.space.parameters["optimizer"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("study: a\nseed: 1\nstudy: b\n", "study: the key is there twice (first on line 1) (line 3)"),
        ("space:\n  lr: 1\n  lr: 2\n", "space.lr: the key is there twice (first on line 2) (line 3)"),
        ("seed: [1\n", "is no YAML: expected ',' or ']', but got '<stream end>' (line 2)"),
        ("study: a\n  seed: 1\n", "is no YAML: mapping values are not allowed here (line 2)"),
        ("study: \x01\n", "is no YAML: unacceptable character"),
        ("study: !!python/name:os.system x\n", "a tag (!…) has no meaning here"),
        ("study: *a\n", "the alias *a has no anchor &a before it (line 1)"),
        ("study: &a [*a]\n", "the alias *a has no anchor &a before it (line 1)"),
        ("study: a\n---\nstudy: b\n", "a second document begins; a study file holds one (line 2)"),
        ("? [a]\n: 1\n", "a key must be a word (line 1)"),
        ("study: " + "9" * 5000, "'9999"),
        ("study: " + "[" * 5000, "is nested too deeply"),
        ("", "must be a mapping with study, objective, metric, space and budget, and is empty"),
    ],
)
def test_what_is_no_good_yaml(tmp_path: Path, text: str, says: str) -> None:
    (problem, *_) = told(tmp_path, text)
    assert problem.startswith(f"study.yaml: {says}")


def test_what_is_no_text_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(SpecInvalid, match="cannot be read: Is a directory"):
        load(tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(SpecInvalid, match=r"is no UTF-8 text \(byte 4\)"):
        load(path)
    path.write_bytes(b"x" * 1_000_001)
    with pytest.raises(SpecInvalid, match="is larger than 1000000 bytes"):
        load(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # The path of each key below it would hold it: a file of 1 MB took 40 GB.
        ('? "' + "a" * 300_000 + '"\n: {b: 1, c: 2}\n', "has 300000 characters, 100 at most"),
        ("study: [" + "1," * 50_000 + "]\n", "holds more than 50000 values"),
        ("a: 1\n" * 1000, "more is wrong: mend these first"),
        ("".join(f"k{i}: 1\n" for i in range(1000)), "more is wrong: mend these first"),
    ],
)
def test_a_file_that_would_hold_its_reader_up_is_refused_early(tmp_path: Path, text: str, says: str) -> None:
    problems = told(tmp_path, text)
    assert says in problems[-1], problems[-1]
    assert len(problems) <= 51
    assert sum(map(len, problems)) < 20_000
