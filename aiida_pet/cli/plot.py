"""``aiida-pet plot``: pictures of a launch, one command per kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.groups import SuggestingGroup
from aiida_pet.cli.output import note
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import check_target, force_option

if TYPE_CHECKING:
    from aiida_pet.plotting.style import Drawing

Command = Callable[..., Any]


class _FiniteRange(click.FloatRange):
    """A number between bounds; click itself takes ``nan`` for one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return found


_POSITIVE = _FiniteRange(min=0.0, min_open=True)

_unit_option = click.option(
    "--unit",
    type=click.Choice(["THz", "cm-1"]),
    default="THz",
    show_default=True,
    help="Unit of frequencies.",
)


@click.group(cls=SuggestingGroup)
def plot() -> None:
    """Draw a launch: bands, hulls, histograms, ...

    Each command writes one picture to the file of -o: svg, png, pdf, or a self-contained html page. With csv it writes
    the numbers behind the picture. PK is a launch, a set or a table; --with draws another launch, set or table into the
    same picture. matplotlib comes with the extra `plot`.
    """


def _drawn(draw: Callable[..., Drawing]) -> Command:
    """Make a command's body, which returns a drawing, one that writes it to a file."""

    @click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="File for the picture. The suffix of its name sets the format.",
    )
    @force_option
    @pass_session
    @wraps(draw)
    def run(session: Session, /, *, output: Path, force: bool, **options: Any) -> None:
        try:
            from aiida_pet.plotting.files import check_suffix, save
        except ImportError as error:
            raise click.ClickException(str(error)) from error
        try:
            check_suffix(output)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="-o") from error
        check_target(output, force)
        session.load()
        drawing = draw(**options)
        save(drawing, output)
        for remark in drawing.remarks:
            note(remark)
        click.echo(f"wrote {output}")

    return run


def _things(pk: str, others: Sequence[str]) -> Any:
    return [pk, *others] if others else pk


_pk = click.argument("pk")
_ids = click.argument("ids", metavar="[ID]...", nargs=-1)
_skip_option = click.option(
    "--skip",
    type=_FiniteRange(min=0.0),
    default=0.0,
    show_default=True,
    metavar="PS",
    help="Leave out the first PS picoseconds, during which the crystal is not yet in equilibrium.",
)
_others = click.option(
    "--with",
    "others",
    metavar="PK",
    multiple=True,
    help="Draw this launch, set or table into the same picture. May be repeated.",
)


@plot.command()
@_pk
@_ids
@_others
@_unit_option
@click.option(
    "--own-path",
    is_flag=True,
    help="Draw along the path of each crystal after its relaxation. Default: the path before its relaxation.",
)
@_drawn
def bands(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...], unit: str, own_path: bool) -> Drawing:
    """Draw the phonon bands of rows, along the path of the crystals before their relaxation.

    \b
    aiida-pet plot bands 12 alloy-0001 -o bands.svg
    aiida-pet plot bands 12 alloy-0001 --with 31 --unit cm-1 -o two-models.png
    """
    from aiida_pet.plotting.phonons import draw_bands

    return draw_bands(_things(pk, others), ids, unit=unit, own_path=own_path)


@plot.command()
@_pk
@_ids
@_others
@_unit_option
@click.option(
    "--by-element",
    is_flag=True,
    help="Also draw the contribution of each element. This works only for a single row.",
)
@_drawn
def dos(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...], unit: str, by_element: bool) -> Drawing:
    """Draw the phonon densities of states of rows."""
    from aiida_pet.plotting.phonons import draw_dos

    return draw_dos(_things(pk, others), ids, unit=unit, by_element=by_element)


@plot.command()
@_pk
@_ids
@_others
@click.option(
    "--per-cell", is_flag=True, help="Give values per mole of primitive cells, not per mole of atoms."
)
@_drawn
def thermal(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...], per_cell: bool) -> Drawing:
    """Draw the free energy, entropy and heat capacity of vibrations over temperature."""
    from aiida_pet.plotting.phonons import draw_thermal

    return draw_thermal(_things(pk, others), ids, per_atom=not per_cell)


@plot.command()
@_pk
@_ids
@_others
@click.option(
    "--system",
    metavar="A-B[-C]",
    help="Chemical system, such as Mo-W. Default: the system with the most rows.",
)
@click.option(
    "--references",
    metavar="PK|FILE",
    help="Further phases for the hull, if the launch did not compute a hull.",
)
@_drawn
def hull(
    *, pk: str, ids: tuple[str, ...], others: tuple[str, ...], system: str | None, references: str | None
) -> Drawing:
    """Draw the convex hull of two or three elements, and label the rows ID.

    \b
    aiida-pet plot hull 12 --system Mo-W -o hull.svg
    """
    from aiida_pet.plotting.hull import draw_hull

    phases = None
    if references is not None:
        from aiida_pet.campaigns.phases import load_phases

        phases = _phase_frame(load_phases(references, store=False).node)
    elements = None if system is None else [one for one in system.replace(",", "-").split("-") if one]
    return draw_hull(_things(pk, others), elements, ids, references=phases)


def _phase_frame(node: Any) -> Any:
    """Return phases with ``formula`` and ``energy_per_atom``, whether they are of a file or crystals."""
    frame = node.to_dataframe()
    if "energy_per_atom" not in frame.columns and {"energy", "n_atoms"} <= set(frame.columns):
        frame["energy_per_atom"] = frame["energy"] / frame["n_atoms"]
    return frame


@plot.command()
@_pk
@_ids
@_others
@click.option("--column", required=True, metavar="C", help="Draw the values of this column.")
@click.option(
    "--bins",
    type=click.IntRange(min=1),
    help="Number of bins. By default the values decide this number.",
)
@_drawn
def histogram(
    *, pk: str, ids: tuple[str, ...], others: tuple[str, ...], column: str, bins: int | None
) -> Drawing:
    """Draw a histogram of a column, and mark the values of the rows ID.

    \b
    aiida-pet plot histogram 12 --column e_above_hull -o hull.svg
    """
    from aiida_pet.plotting.values import draw_histogram

    return draw_histogram(_things(pk, others), column, ids, bins=bins)


@plot.command()
@_pk
@_others
@click.option(
    "--column",
    required=True,
    metavar="C[=R]",
    help="Column of PK, and the column of the reference if it has another name.",
)
@click.option("--reference", metavar="PK|FILE", help="A launch, set or file with the references.")
@click.option("--id-column", metavar="C", help="Column of a csv or parquet file that holds the ids.")
@click.option(
    "--per-atom",
    is_flag=True,
    help="Divide the values by the number of atoms, for columns such as the energy of the cell.",
)
@_drawn
def parity(
    *,
    pk: str,
    others: tuple[str, ...],
    column: str,
    reference: str | None,
    id_column: str | None,
    per_atom: bool,
) -> Drawing:
    """Draw the values of a column against reference values, matched by id.

    Without --reference, the launches of --with are compared with PK.

    \b
    aiida-pet plot parity 12 --reference dft.csv --column energy=e_dft -o dft.svg
    aiida-pet plot parity 12 --with 31 --column energy --per-atom -o models.svg
    """
    from aiida_pet.plotting.values import draw_parity

    name, _, other = column.partition("=")
    if reference is None:
        if not others:
            raise click.UsageError(
                "name the values to compare with: --reference PK|FILE, or another launch with --with PK"
            )
        return draw_parity(pk, list(others), name, other or None, per_atom=per_atom)
    given = _references(reference, id_column)
    return draw_parity(given, [pk, *others], name, other or None, per_atom=per_atom)


def _references(named: str, id_column: str | None) -> Any:
    path = Path(named)
    if not path.is_file() or named.isdecimal():
        return named
    from aiida_pet.campaigns.references import load_reference

    return load_reference(path, id_column).frame


@plot.command()
@_pk
@_ids
@_others
@click.option(
    "--r-max", type=_POSITIVE, default=8.0, show_default=True, help="Largest distance that is counted, in A."
)
@_skip_option
@_drawn
def rdf(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...], r_max: float, skip: float) -> Drawing:
    """Draw the radial distributions of rows of molecular dynamics. For a single row, also draw each pair of elements.

    \b
    aiida-pet plot rdf 12 alloy-0001 --skip 1 -o rdf.svg
    """
    from aiida_pet.plotting.dynamics import draw_rdf

    return draw_rdf(_things(pk, others), ids, r_max=r_max, skip=skip)


@plot.command()
@_pk
@_ids
@_others
@_skip_option
@_drawn
def msd(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...], skip: float) -> Drawing:
    """Draw the mean squared displacements of atoms over time in molecular dynamics. The diffusivities, from the slopes,
    are printed.
    """
    from aiida_pet.plotting.dynamics import draw_msd

    return draw_msd(_things(pk, others), ids, skip=skip)


@plot.command()
@_pk
@_ids
@_others
@_skip_option
@_drawn
def vacf(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...], skip: float) -> Drawing:
    """Draw the velocity autocorrelation functions of rows of molecular dynamics, and their spectra.

    The trajectories must contain velocities, with a short time between frames.

    \b
    aiida-pet launch md alloys.xyz --set velocities=true --set frames_every=5
    aiida-pet plot vacf 12 alloy-0001 --skip 1 -o vacf.svg
    """
    from aiida_pet.plotting.dynamics import draw_vacf

    return draw_vacf(_things(pk, others), ids, skip=skip)


@plot.command()
@_pk
@_ids
@_others
@click.option(
    "--cell-axes",
    is_flag=True,
    help="Draw in the axes of the cell of the row, not in the axes of the IEEE standard.",
)
@_drawn
def elastic(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...], cell_axes: bool) -> Drawing:
    """Draw Young's modulus of rows by direction: one row as a surface, several rows as curves in three
    planes.
    """
    from aiida_pet.plotting.elastic import draw_elastic

    return draw_elastic(_things(pk, others), ids, ieee=not cell_axes)


@plot.command()
@_pk
@_ids
@_others
@_drawn
def eos(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...]) -> Drawing:
    """Draw the energies of rows over the volume, and their equations of state."""
    from aiida_pet.plotting.heat import draw_eos

    return draw_eos(_things(pk, others), ids)


@plot.command()
@_pk
@_ids
@_others
@_drawn
def expansion(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...]) -> Drawing:
    """Draw volume, thermal expansion and heat capacity of rows over temperature."""
    from aiida_pet.plotting.heat import draw_expansion

    return draw_expansion(_things(pk, others), ids)


@plot.command()
@_pk
@_ids
@_others
@_drawn
def conductivity(*, pk: str, ids: tuple[str, ...], others: tuple[str, ...]) -> Drawing:
    """Draw the thermal conductivity of rows over temperature, and the contributions of modes at 300 K."""
    from aiida_pet.plotting.heat import draw_conductivity

    return draw_conductivity(_things(pk, others), ids)


@plot.command()
@_pk
@_others
@click.option(
    "--tolerance",
    type=_POSITIVE,
    metavar="A",
    help="Tolerance (symprec) for the list of changed space groups. Default: the tolerance nearest to 0.01 A.",
)
@_drawn
def symmetry(*, pk: str, others: tuple[str, ...], tolerance: float | None) -> Drawing:
    """Draw how many rows kept their space group at each tolerance, and the new groups of the other rows."""
    from aiida_pet.plotting.symmetry import draw_symmetry

    return draw_symmetry(_things(pk, others), tolerance=tolerance)


@plot.command()
@_pk
@_drawn
def funnel(*, pk: str) -> Drawing:
    """Draw how many rows reached each stage, how many of them went on, and why the others did not."""
    from aiida_pet.plotting.course import draw_funnel

    return draw_funnel(pk)


@plot.command()
@_pk
@_drawn
def progress(*, pk: str) -> Drawing:
    """Draw the number of finished rows over time for each lane, and how the jobs spent their time."""
    from aiida_pet.plotting.course import draw_progress

    return draw_progress(pk)
