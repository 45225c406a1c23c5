import click
import pytest

from aiida_pet.cli.options import WALLTIME, parse_settings


def test_settings_are_read_as_yaml():
    pairs = ("fmax=0.01", "optimizer=lbfgs", "symprecs=[0.01, 0.1]", "max_steps = 20", "cell=fixed")
    assert parse_settings(pairs) == {
        "fmax": 0.01,
        "optimizer": "lbfgs",
        "symprecs": [0.01, 0.1],
        "max_steps": 20,
        "cell": "fixed",
    }


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("fmax",), "'fmax' is not NAME=VALUE"),
        (("fmax=",), "'fmax=' is not NAME=VALUE"),
        (("=1",), "'=1' is not NAME=VALUE"),
        (("fmax=1", "fmax=2"), "fmax is given twice"),
        (("symprecs=[1",), "is not YAML"),
    ],
)
def test_settings_that_are_no_pairs_are_refused(pairs, message):
    with pytest.raises(click.BadParameter, match=message.replace("[", r"\[")):
        parse_settings(pairs)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3600", 3600),
        ("90s", 90),
        ("45m", 2700),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d", 86400),
        ("01:30:05", 5405),
    ],
)
def test_walltime_is_seconds(text, seconds):
    assert WALLTIME.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "soon", "1:30", "-5", "2h30x"])
def test_walltime_that_is_none_is_refused(text):
    with pytest.raises(click.BadParameter, match="is not a time such as 3600"):
        WALLTIME.convert(text, None, None)
