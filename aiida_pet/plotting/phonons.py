"""Bands, densities of states and thermal curves of rows, several laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiida_pet.figures.bands import REMEDY as FORCE_CONSTANTS
from aiida_pet.figures.bands import Bands, bands_of_row
from aiida_pet.figures.dos import dos_of_row
from aiida_pet.figures.frequency import FrequencyUnit
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.figures.thermal import thermal_of_row
from aiida_pet.plotting.sources import Series, drawable, series_of
from aiida_pet.plotting.style import GREY, Axes, Drawing, colours, label_of, legend, new_axes, new_row
from aiida_pet.tables.crystals import StructureTable

LAUNCH = "`aiida-pet launch phonons SET`, or the stage phonons of a screening, makes it"


def plot_bands(
    what: Any,
    ids: str | Sequence[str] = (),
    *,
    unit: FrequencyUnit | str = FrequencyUnit.THZ,
    ax: Axes | None = None,
) -> Axes:
    """Return axes with the phonon bands of rows, along the path of the crystals before their relaxation.

    :param what: results of phonons, or a screening with such a stage; several in a list are drawn into one picture.
    :param ids: ids of the rows; they may be left out if there is only one row.
    :param unit: unit of frequencies, ``THz`` or ``cm-1``.
    :param ax: axes to draw on; None for a new figure.
    :raises NotDrawnError: if there are no force constants, or paths differ.

    .. code-block:: python

        from aiida_pet import plotting

        axes = plotting.plot_bands("phonons of alloys", "MoTa-0013", unit="cm-1")
        plotting.save(axes, "bands.svg")
    """
    found: Axes = draw_bands(what, ids, unit=unit, ax=ax).axes
    return found


def draw_bands(
    what: Any,
    ids: str | Sequence[str] = (),
    *,
    unit: FrequencyUnit | str = FrequencyUnit.THZ,
    own_path: bool = False,
    ax: Axes | None = None,
) -> Drawing:
    """Draw what :func:`plot_bands` says.

    :param own_path: put each crystal on the path of its own space group instead of that of its start.
    """
    series = series_of(what, ids, ["force_constants"], LAUNCH)
    series, bands, lacking = drawable(series, lambda one: _bands(one, FrequencyUnit(unit), own_path))
    _check_paths(bands)
    ax = new_axes(ax)
    first = bands[0]
    for one, found, colour in zip(series, bands, colours(len(series)), strict=True):
        for place, (distances, frequencies) in enumerate(
            zip(found.distances, found.frequencies, strict=True)
        ):
            at = _rescaled(distances, first.distances[place])
            lines = ax.plot(at, frequencies, color=colour, linewidth=1.1)
            if place == 0:
                lines[0].set_label(one.label)
    for distance, name in first.ticks:
        ax.axvline(distance, color=GREY, linewidth=1.2 if "|" in name else 0.6)
    ax.axhline(0, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
    ax.set_xticks([distance for distance, _ in first.ticks], [name for _, name in first.ticks])
    ax.set_xlim(first.ticks[0][0], first.ticks[-1][0])
    ax.set_ylabel(label_of("Frequency", FrequencyUnit(unit).value))
    legend(ax, [one.label for one in series], loc="best")
    title = f"Phonon bands of {', '.join(dict.fromkeys(one.id for one in series))}"
    remarks = tuple(
        f"{one.id}: {text}" for one, found in zip(series, bands, strict=True) for text in found.remarks
    )
    return Drawing(ax, title, _frames(series, bands), remarks + lacking)


def plot_dos(
    what: Any,
    ids: str | Sequence[str] = (),
    *,
    unit: FrequencyUnit | str = FrequencyUnit.THZ,
    by_element: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Return axes with the phonon densities of states of rows.

    :param by_element: also draw the contributions of the elements; only for a single row.
    :raises NotDrawnError: if there is none.

    .. code-block:: python

        from aiida_pet import plotting

        axes = plotting.plot_dos("phonons of alloys", "MoTa-0013", by_element=True)
    """
    found: Axes = draw_dos(what, ids, unit=unit, by_element=by_element, ax=ax).axes
    return found


def draw_dos(
    what: Any,
    ids: str | Sequence[str] = (),
    *,
    unit: FrequencyUnit | str = FrequencyUnit.THZ,
    by_element: bool = False,
    ax: Axes | None = None,
) -> Drawing:
    """Draw what :func:`plot_dos` says."""
    series = series_of(what, ids, ["force_constants" if by_element else "phonon_dos"], LAUNCH)
    if by_element and len(series) > 1:
        raise NotDrawnError(f"contributions of elements can be drawn for one row only, not for {len(series)}")
    unit = FrequencyUnit(unit)
    series, found, remarks = drawable(
        series, lambda one: dos_of_row(one.source, one.id, unit=unit, by_element=by_element)
    )
    ax = new_axes(ax)
    for one, dos, colour in zip(series, found, colours(len(series)), strict=True):
        is_alone = len(series) == 1
        ax.plot(
            dos.frequencies,
            dos.total,
            color="black" if by_element else colour,
            linewidth=1.3,
            label="total" if by_element else one.label,
        )
        if is_alone and not by_element:
            ax.fill_between(dos.frequencies, dos.total, color=colour, alpha=0.15, linewidth=0)
        for (symbol, part), own in zip(dos.elements.items(), colours(len(dos.elements)), strict=True):
            ax.plot(dos.frequencies, part, color=own, linewidth=1.1, label=symbol)
            ax.fill_between(dos.frequencies, part, color=own, alpha=0.15, linewidth=0)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(label_of("Frequency", unit.value))
    ax.set_ylabel("Modes per THz and cell" if unit is FrequencyUnit.THZ else "Modes per cm$^{-1}$ and cell")
    legend(ax, ["total", *found[0].elements] if by_element else [one.label for one in series])
    title = f"Phonon density of states of {', '.join(dict.fromkeys(one.id for one in series))}"
    return Drawing(ax, title, _frames(series, found), remarks)


def plot_thermal(what: Any, ids: str | Sequence[str] = (), *, per_atom: bool = True) -> list[Axes]:
    """Return three axes over temperature: free energy, entropy and heat capacity of the vibrations of rows.

    :param per_atom: per mole of atoms; otherwise per mole of primitive cells.
    :raises NotDrawnError: if there are none.

    .. code-block:: python

        from aiida_pet import plotting

        free_energy, entropy, heat_capacity = plotting.plot_thermal("phonons of alloys", ["Mo-0001", "MoTa-0013"])
    """
    found: list[Axes] = draw_thermal(what, ids, per_atom=per_atom).axes
    return found


def draw_thermal(what: Any, ids: str | Sequence[str] = (), *, per_atom: bool = True) -> Drawing:
    """Draw what :func:`plot_thermal` says."""
    series = series_of(what, ids, ["heat_capacity"], LAUNCH)
    series, found, remarks = drawable(
        series, lambda one: thermal_of_row(one.source, one.id, per_atom=per_atom)
    )
    axes = new_row(3)
    kinds = (
        ("free_energy", "Free energy", "kJ/mol"),
        ("entropy", "Entropy", "J/(K mol)"),
        ("heat_capacity", "Heat capacity", "J/(K mol)"),
    )
    for ax, (name, words, unit) in zip(axes, kinds, strict=True):
        for one, thermal, colour in zip(series, found, colours(len(series)), strict=True):
            mark = "o" if len(thermal.temperatures) < 30 else None
            ax.plot(
                thermal.temperatures,
                getattr(thermal, name),
                color=colour,
                marker=mark,
                markersize=3,
                linewidth=1.3,
                label=one.label,
            )
        ax.set_xlabel(label_of("Temperature", "K"))
        ax.set_ylabel(label_of(words, unit))
    limits = {round(one.dulong_petit, 6) for one in found}
    for limit in limits if len(limits) == 1 else ():
        axes[2].axhline(limit, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes[2].annotate(
            "3R" if per_atom else "3NR",
            (1.0, limit),
            xycoords=("axes fraction", "data"),
            xytext=(-2, -10),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=GREY,
        )
    legend(axes[0], [one.label for one in series])
    what_of = f"per mole of {found[0].per}"
    title = f"Thermal properties of {', '.join(dict.fromkeys(one.id for one in series))}, {what_of}"
    axes[1].set_title(what_of, fontsize=9, color=GREY)
    return Drawing(axes, title, _frames(series, found), remarks)


def _bands(series: Series, unit: FrequencyUnit, own_path: bool) -> Bands:
    if not isinstance(series.source, StructureTable):
        raise NotDrawnError(f"a data frame holds no force constants: {FORCE_CONSTANTS}")
    start = None if own_path else series.start
    return bands_of_row(series.source, series.id, start=start, unit=unit)


def _check_paths(bands: Sequence[Bands]) -> None:
    paths = {tuple(name for _, name in one.ticks): one for one in bands}
    if len(paths) > 1:
        shown = "; ".join(
            f"{one.id} on {' '.join(path)} of space group {one.spacegroup}" for path, one in paths.items()
        )
        raise NotDrawnError(f"bands on different paths cannot be drawn into one picture: {shown}")


def _rescaled(distances: Any, like: Any) -> Any:
    """Return ``distances`` of a segment stretched to where the segment of another crystal is."""
    share = (distances - distances[0]) / (distances[-1] - distances[0])
    return like[0] + share * (like[-1] - like[0])


def _frames(series: Sequence[Series], found: Sequence[Any]) -> dict[str, Any]:
    names = [one.label or one.id for one in series]
    frames = {}
    for name, one in zip(names, found, strict=True):
        frames[name] = one.to_frame()
    return frames
