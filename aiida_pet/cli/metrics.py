"""``aiida-pet metrics``: how results compare with references, by the numbers that the field reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aiida_pet.cli.output import echo_json, echo_table, json_option, note, say
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.words import plural, shortened

if TYPE_CHECKING:
    from aiida_pet.campaigns.agreement import Metrics


@click.command()
@click.argument("pk")
@click.option(
    "--reference",
    metavar="FILE|PK",
    help="References: a csv or parquet file, a file of crystals, a file with conductivities of modes, a set, a table "
    "or a launch. Default: columns of PK itself.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=REFERENCE",
    help="Compare the column NAME of the results with the column REFERENCE of the references. If both columns have "
    "the same name, write NAME alone. Both must have the same unit. Default: all columns that both sides have and "
    "that have a metric.",
)
@click.option("--id-column", metavar="COLUMN", help="Column of a csv or parquet file that holds the ids.")
@click.option(
    "--unique-prototype",
    metavar="COLUMN",
    help="Column that says which rows are unique prototypes. The output then also has metrics of these rows alone.",
)
@click.option(
    "--n-atoms",
    metavar="COLUMN",
    help="Column with the number of atoms of the primitive cell. Errors of thermal properties are then given per atom.",
)
@click.option(
    "--stability-threshold",
    type=float,
    default=0.0,
    show_default=True,
    help="Largest energy above the hull (eV/atom) with which a crystal counts as stable.",
)
@click.option(
    "--symprec",
    type=float,
    default=0.01,
    show_default=True,
    help="Tolerance in A at which space groups are found and compared.",
)
@click.option(
    "--all-references", is_flag=True, help="Count a reference without a row like a row that failed."
)
@click.option(
    "--structures",
    "with_structures",
    is_flag=True,
    help="Compare crystals as well when --column is given. Without --column crystals are always compared.",
)
@json_option
@pass_session
def metrics(
    session: Session,
    *,
    pk: str,
    reference: str | None,
    columns: tuple[str, ...],
    id_column: str | None,
    unique_prototype: str | None,
    n_atoms: str | None,
    stability_threshold: float,
    symprec: float,
    all_references: bool,
    with_structures: bool,
    as_json: bool,
) -> None:
    """Compare the results of the launch (or table) PK with references.

    Energies above the hull get the metrics of matbench-discovery (F1, DAF, MAE, ...). Phonons get the metrics of the
    MDR benchmark (per primitive cell, at 300 K). Conductivities get the metrics of kappa_SRME (mode by mode). Moduli
    get errors in GPa and errors of their logarithms. Any other column gets MAE, RMSE and R2. If the reference holds
    crystals, RMSD and symmetry are compared too.

    \b
    aiida-pet metrics 12 --reference dft.csv --column e_above_hull=e_hull_dft
    """
    from aiida_pet.campaigns import metrics as metrics_of

    session.load()
    found = metrics_of(
        pk,
        reference,
        pairs=_pairs(columns, beside_results=reference is None),
        id_column=id_column,
        unique_prototype=unique_prototype,
        n_atoms=n_atoms,
        stability_threshold=stability_threshold,
        symprec=symprec,
        all_references=all_references,
        with_structures=with_structures or not columns,
    )
    if found.without_crystals:
        note(found.without_crystals)
    if as_json:
        echo_json(found.to_dict())
        return
    if found.pairs:
        say(f"compared: {', '.join(f'{name} with {other}' for name, other in found.pairs.items())}\n")
    lines = [(name, metric.value, metric.unit) for name, metric in found.numbers.items()]
    echo_table(lines, ("metric", "value", "unit"), once=False)
    _echo_counts(found, all_references)
    if found.missing:
        note(found.missing)


def _pairs(columns: tuple[str, ...], *, beside_results: bool) -> dict[str, str]:
    """Return column of results -> column of references of ``NAME=REFERENCE``, or ``NAME`` if both are called so.

    :param beside_results: whether the references are columns of the results, and so called otherwise.
    :raises click.BadParameter: for what is no pair, or a name that is given twice.
    """
    pairs: dict[str, str] = {}
    for text in columns:
        name, equals, other = (part.strip() for part in text.partition("="))
        if name in pairs or (equals and not other) or (beside_results and not equals):
            raise click.BadParameter(
                f"{text!r}: expected NAME=REFERENCE, each NAME once", param_hint="--column"
            )
        pairs[name] = other or name
    return pairs


def _echo_counts(found: Metrics, all_references: bool) -> None:
    missing, unused = found.without_reference, found.without_result
    say(f"\n{plural(found.n_compared, 'row')} compared, of {found.n_rows:,}")
    if missing:
        say(f"{plural(len(missing), 'row')} without reference, left out: {shortened(missing)}")
    if found.without_value:
        say(
            f"{plural(len(found.without_value), 'row')} without a result to compare: {shortened(found.without_value)}"
        )
    if unused:
        treated = (
            "counted like rows that failed" if all_references else "left out (--all-references counts them)"
        )
        say(f"{plural(len(unused), 'reference')} without row, {treated}: {shortened(unused)}")
