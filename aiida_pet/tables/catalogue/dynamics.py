"""Columns: what was sampled along a path of molecular dynamics."""

from __future__ import annotations

from typing import Any

from aiida_pet.tables.column import Column, Kind, Section, Source


def _sampled(name: str, meaning: str, unit: str = "", **further: Any) -> Column:
    return Column(name, meaning, unit, section=Section.DYNAMICS, sources=(Source.MD,), **further)


def _moments(name: str, what: str, unit: str, **further: Any) -> tuple[Column, ...]:
    """Return mean, deviation and error of a quantity; ``further`` is of the mean."""
    return (
        _sampled(f"mean_{name}", f"Mean of the {what} over the samples.", unit, **further),
        _sampled(f"std_{name}", f"Standard deviation of the {what} over the samples.", unit),
        _sampled(
            f"error_{name}",
            f"Standard error of `mean_{name}` by blocks of samples; missing where there are fewer than 32 samples.",
            unit,
        ),
    )


_FIRST: dict[str, Any] = {"shown": (Source.MD,), "compared": True}

DYNAMICS: tuple[Column, ...] = (
    _sampled(
        "n_md_steps",
        "Steps of dynamics, those before production included; with `respa` outer ones.",
        kind=Kind.COUNT,
        shown=(Source.MD,),
    ),
    _sampled("md_time", "Time that these steps are.", "ps", shown=(Source.MD,)),
    _sampled("n_frames", "Frames of the trajectory.", kind=Kind.COUNT),
    _sampled("n_samples", "Samples in production.", kind=Kind.COUNT),
    *_moments("potential_energy", "potential energy of the cell", "eV"),
    *_moments("temperature", "temperature", "K", **_FIRST),
    *_moments("pressure", "pressure, kinetic part included", "GPa", **_FIRST),
    *_moments("volume", "volume of the cell", "A^3", **_FIRST),
    _sampled(
        "std_conserved",
        "Standard deviation of the energy that the exact equations keep, that of `drift`.",
        "eV/atom",
    ),
    _sampled(
        "drift",
        "Slope of a line through the energy that the exact equations of motion keep: of `nve` the total energy, else "
        "with what thermostat and barostat hold or gave.",
        "eV/atom/ps",
        **_FIRST,
    ),
    _sampled(
        "lambench_drift",
        "The number that LAMBench gives for the size of this slope: it takes ASE's unit of time for fs, and is 10.18 "
        "times the true one, whatever its label says.",
    ),
    _sampled(
        "mean_stress",
        "Mean of the stress over the samples, kinetic part included, positive under tension; Voigt's order.",
        "GPa",
        shape=("6",),
    ),
)
