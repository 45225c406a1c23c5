"""Texts without what tells of a machine."""

from __future__ import annotations

import pytest

from aiida_pet.report.private import own_names, without_places


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no file /home/anna/run/x.xyz here", "no file (a path) here"),
        ("in ~/work/a.log", "in (a path)"),
        (r"C:\Users\Anna\x.txt", "(a path)"),
        ("ask anna@cluster.example.org", "ask (a name)"),
        ("fmax = 0.01 eV/A, J/(K mol), 1/2", "fmax = 0.01 eV/A, J/(K mol), 1/2"),
        ("node daint.login lost", "node (a name) lost"),
        ("P6/mmm and F-43m/Im-3m", "P6/mmm and F-43m/Im-3m"),
    ],
)
def test_places_and_people_are_left_out(text: str, expected: str) -> None:
    assert without_places(text, ["daint.login"]) == expected


def test_names_that_are_words_stay() -> None:
    assert "root" not in own_names()
    assert without_places("the root of the tree") == "the root of the tree"
