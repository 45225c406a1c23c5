"""Figures of heat in a report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiida_pet.figures.source import NotDrawnError
from aiida_pet.report.heat import NEEDED, heat_figures
from support.heat_results import heat_table


@pytest.mark.parametrize("kind", NEEDED)
def test_panels_show_columns_that_are_there(kind: str) -> None:
    table = heat_table()
    only = replace(table, columns={name: table.columns[name] for name in NEEDED[kind]})
    for figure in heat_figures(kind, only, "good"):
        shown = [name for panel in figure.options["panels"] for name in panel["columns"]]
        assert {figure.options["x"], *shown} <= set(figure.columns)
        assert len({len(values) for values in figure.columns.values()}) == 1
        assert "good" in figure.alt
    with pytest.raises(NotDrawnError):
        heat_figures(kind, table, "failed")


def test_conductivity_at_one_temperature_has_no_curve_over_temperature() -> None:
    table = heat_table()
    assert [figure.name for figure in heat_figures("conductivity", table, "good")] == [
        "kappa-good",
        "cumulative-kappa-good",
    ]
    table.columns["kappa_temperatures"] = table.columns["kappa_temperatures"][:, :1]
    table.columns["kappa"] = table.columns["kappa"][:, :1]
    assert [figure.name for figure in heat_figures("conductivity", table, "good")] == [
        "cumulative-kappa-good"
    ]


def test_equation_is_named_with_its_bulk_modulus() -> None:
    (figure,) = heat_figures("eos", heat_table(), "good")
    assert figure.caption == "per cell; Vinet, bulk modulus 200 GPa."
