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
            f"Standard error of `mean_{name}`, from averages over blocks of samples. It is missing if there are fewer "
            "than 32 samples.",
            unit,
        ),
    )


_FIRST: dict[str, Any] = {"shown": (Source.MD,), "compared": True}

DYNAMICS: tuple[Column, ...] = (
    _sampled(
        "n_md_steps",
        "Number of steps of dynamics, including steps before production. With `respa` outer steps are counted.",
        kind=Kind.COUNT,
        shown=(Source.MD,),
    ),
    _sampled("md_time", "Simulated time of all `n_md_steps` steps.", "ps", shown=(Source.MD,)),
    _sampled("n_frames", "Number of frames of the trajectory.", kind=Kind.COUNT),
    _sampled("n_samples", "Number of samples in production.", kind=Kind.COUNT),
    *_moments("potential_energy", "potential energy of the cell", "eV"),
    *_moments("temperature", "temperature", "K", **_FIRST),
    *_moments("pressure", "pressure, including the kinetic part,", "GPa", **_FIRST),
    *_moments("volume", "volume of the cell", "A^3", **_FIRST),
    _sampled(
        "std_conserved",
        "Standard deviation of the conserved energy whose slope is `drift`.",
        "eV/atom",
    ),
    _sampled(
        "drift",
        "Slope of a line through the conserved energy over time. The exact equations of motion conserve this energy: "
        "the total energy, plus the energy of thermostat and barostat, minus the energy that they gave.",
        "eV/atom/ps",
        **_FIRST,
    ),
    _sampled(
        "lambench_drift",
        "Absolute value of `drift` as LAMBench computes it. LAMBench takes ASE's unit of time for a femtosecond, so "
        "its number is 10.18 times the true slope.",
    ),
    _sampled(
        "mean_stress",
        "Mean of the stress over the samples, including the kinetic part; positive under tension, Voigt's order.",
        "GPa",
        shape=("6",),
    ),
)
