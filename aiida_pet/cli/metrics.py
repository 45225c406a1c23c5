"""``aiida-pet metrics``: how results compare with references, by the numbers that the field reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import echo_json, json_option, note, table_text
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.words import plural, shortened

if TYPE_CHECKING:
    import pandas as pd

    from aiida_pet.analysis.metrics.report import Metric
    from aiida_pet.cli.rows import Rows
    from aiida_pet.data.table import TableData
    from aiida_pet.tables.crystals import StructureTable

# What columns of references are called while they stand beside those of the results.
PREFIX = "reference:"
TABLES = (".csv", ".parquet")
# What stands for a missing value in a csv file, as pandas has it.
MISSING = ["", "NA", "N/A", "NaN", "nan", "-nan", "-NaN", "n/a", "None", "null", "NULL", "<NA>", "#N/A"]
COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")


@dataclass(frozen=True)
class Reference:
    """What results are compared with.

    :ivar name: file or node, for messages.
    :ivar frame: its columns, indexed by id.
    :ivar structures: its crystals, None if it has none.
    :ivar units: of its columns, where they are known.
    """

    name: str
    frame: pd.DataFrame
    structures: StructureTable | None = None
    units: Mapping[str, str] = field(default_factory=dict)


@click.command()
@click.argument("pk")
@click.option(
    "--reference",
    metavar="FILE|PK",
    help="csv or parquet file, file of crystals, or a set, table or launch; else PK itself holds the references.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=REFERENCE",
    help="A column of the results and that of its references, in the same unit; NAME alone if both are called so. "
    "Else all that are known to the metrics and in both.",
)
@click.option("--id-column", metavar="COLUMN", help="Column of a csv or parquet file that holds the ids.")
@click.option(
    "--unique-prototype", metavar="COLUMN", help="Which rows are unique prototypes: adds these subsets."
)
@click.option(
    "--n-atoms", metavar="COLUMN", help="Atoms of the primitive cells: thermal errors are then per atom."
)
@click.option(
    "--stability-threshold",
    type=float,
    default=0.0,
    show_default=True,
    help="eV/atom above the hull up to which a crystal counts as stable.",
)
@click.option("--symprec", type=float, default=0.01, show_default=True, help="Of space groups compared, A.")
@click.option(
    "--all-references", is_flag=True, help="References without a row count as rows without an answer."
)
@click.option(
    "--structures",
    "with_structures",
    is_flag=True,
    help="Compare crystals too, where --column names what else is compared; without --column they are.",
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
    """Print how the results of the launch (or table) PK compare with references.

    Hull: as matbench-discovery counts (F1, DAF, MAE, ...); phonons: as the MDR benchmark (per primitive cell, 300 K);
    moduli; of any other column MAE, RMSE and R2. If the reference holds crystals, RMSD and symmetry are compared too.

    \b
    aiida-pet metrics 12 --reference dft.csv --column e_above_hull=e_above_hull_dft
    """
    from aiida_pet.analysis.metrics.report import compare_with_references
    from aiida_pet.cli.rows import load_rows

    session.load()
    rows = load_rows(pk)
    ours = rows.node.to_dataframe()
    given = None if reference is None else load_reference(reference, id_column)
    pairs = pair_columns(columns, ours, given)
    joined = join_references(ours, given, all_references)
    frame = joined.frame
    unique = _place(frame, unique_prototype, "--unique-prototype")
    atoms = _place(frame, n_atoms, "--n-atoms")
    units = common_units(pairs, _units_of(rows.node), given)
    theirs = {name: other if given is None else PREFIX + other for name, other in pairs.items()}
    try:
        numbers = compare_with_references(
            frame,
            theirs,
            unique_prototype=unique,
            n_atoms=atoms,
            stability_threshold=stability_threshold,
            units=units,
        )
    except ValueError as error:
        raise click.ClickException(str(error).replace(PREFIX, "")) from error
    if with_structures or not columns:
        numbers |= _structure_metrics(rows, given, symprec, all_references)
    if as_json:
        echo_json(_document(rows, pairs, numbers, joined, given))
        return
    if pairs:
        click.echo(f"compared: {', '.join(f'{name} with {other}' for name, other in pairs.items())}\n")
    click.echo(
        table_text(
            [(name, metric.value, metric.unit) for name, metric in numbers.items()],
            ("metric", "value", "unit"),
        )
    )
    _echo_counts(joined, all_references)
    if rows.missing:
        note(rows.missing)


# -- references --------------------------------------------------------------------------------------------------------


def load_reference(named: str, id_column: str | None = None) -> Reference:
    """Return the references in a file, or in the node named so.

    :param id_column: of a csv or parquet file; None for `id` and what else ids are usually called.
    :raises click.ClickException: if there is neither, or the file cannot be read.
    """
    from aiida_pet.cli.rows import load_rows
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.io.readers import read_structures
    from aiida_pet.tables.frame import frame_of

    path = Path(named)
    if path.exists() and not named.isdecimal():
        if _is_table(path):
            return Reference(named, read_table(path, id_column))
        table = read_structures(path).table
        return Reference(named, frame_of(table), table, dict(table.units))
    try:
        rows = load_rows(named)
    except click.ClickException as error:
        raise click.ClickException(f"--reference {named}: no such file, and {error.message}") from error
    crystals = rows.node.to_table() if isinstance(rows.node, StructureSetData) else None
    return Reference(f"<{rows.pk}>", rows.node.to_dataframe(), crystals, _units_of(rows.node))


def _units_of(node: TableData) -> dict[str, str]:
    return {name: node.unit(name) for name in node.column_names if node.unit(name)}


def common_units(
    pairs: Mapping[str, str], ours: Mapping[str, str], given: Reference | None
) -> dict[str, str]:
    """Return the unit of each column that is compared, where one side says it.

    :raises click.ClickException: if the two columns of a pair are in different units.
    """
    theirs = ours if given is None else given.units
    found: dict[str, str] = {}
    for name, other in pairs.items():
        first, second = ours.get(name, ""), theirs.get(other, "")
        if first and second and first != second:
            raise click.ClickException(
                f"{name} of the results is in {first}, {other} of the references in {second}: compare columns of one "
                "unit"
            )
        found[name] = first or second
    return found


def _is_table(path: Path) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return any(suffix in TABLES for suffix in suffixes[-2:] if suffix not in COMPRESSED)


def read_table(path: Path, id_column: str | None = None) -> pd.DataFrame:
    """Return a csv (compressed or not) or parquet file as a data frame indexed by id.

    :param id_column: that holds the ids; None for `id` and what else they are usually called.
    :raises click.ClickException: if it cannot be read, has no such column, or an id occurs twice.
    """
    import numpy as np
    import pandas as pd

    from aiida_pet.io.ids import ID_KEYS

    try:
        # ids as texts: 0012 is another than 12
        if TABLES[0] in path.name.lower():
            keys = (*ID_KEYS, id_column or "id")
            # an id of NA (a formula, say) is a text, so missing values are looked for in the other columns alone
            others = [name for name in pd.read_csv(path, nrows=0).columns if name not in keys]
            texts, missing = dict.fromkeys(keys, str), dict.fromkeys(others, MISSING)
            frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=missing)
        else:
            frame = pd.read_parquet(path).reset_index()  # ids may be the index
    except ImportError as error:
        raise click.ClickException(f"{path}: parquet files need pyarrow (`pip install pyarrow`)") from error
    except (ValueError, OSError) as error:
        raise click.ClickException(f"{path}: cannot be read as a table: {error}") from error
    names = ["id", *ID_KEYS] if id_column is None else [id_column]
    name = next((name for name in names if name in frame.columns), None)
    if name is None:
        raise click.ClickException(
            f"{path}: no column {' or '.join(dict.fromkeys(names))} that holds ids; columns are "
            f"{shortened(list(frame.columns), 30)} (--id-column names another)"
        )
    ids = frame.pop(name)
    without = np.flatnonzero(ids.isna() | (ids.astype(str) == ""))
    if len(without):
        raise click.ClickException(
            f"{path}: {plural(len(without), 'row')} without an id in column {name}, the first is row "
            f"{without[0] + 1}"
        )
    frame.index = pd.Index(ids.astype(str), name="id")
    if not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()].unique().tolist()
        raise click.ClickException(f"{path}: ids occur more than once in column {name}: {shortened(twice)}")
    return frame


@dataclass(frozen=True)
class Joined:
    """Results beside their references.

    :ivar frame: rows that are compared, columns of references with :data:`PREFIX`.
    :ivar n_rows: of the results.
    :ivar without_reference: ids of rows that are not among the references.
    :ivar without_result: ids of references that are not among the rows.
    """

    frame: pd.DataFrame
    n_rows: int
    without_reference: list[str]
    without_result: list[str]


def join_references(ours: pd.DataFrame, given: Reference | None, all_references: bool = False) -> Joined:
    """Return results and references side by side, by id.

    :param given: None if ``ours`` itself has columns of references.
    :param all_references: keep references that have no row, NaN in place of results.
    :raises click.ClickException: if no id is in both.
    """
    if given is None:
        return Joined(ours, len(ours), [], [])
    theirs = given.frame.add_prefix(PREFIX)
    missing, unused = ours.index.difference(theirs.index), theirs.index.difference(ours.index)
    if len(missing) == len(ours):
        raise click.ClickException(
            f"no id is both among the {len(ours)} rows ({shortened(ours.index.tolist(), 3)}) and the "
            f"{len(theirs)} references of {given.name} ({shortened(theirs.index.tolist(), 3)})"
        )
    frame = ours.join(theirs, how="right" if all_references else "inner")
    return Joined(frame, len(ours), missing.tolist(), unused.tolist())


def pair_columns(columns: Sequence[str], ours: pd.DataFrame, given: Reference | None) -> dict[str, str]:
    """Return column of results -> column of references.

    :param columns: as they were given, ``NAME=REFERENCE`` or ``NAME``; if none, all that are known and in both.
    :raises click.UsageError: for a column that there is not, or if there is nothing to compare.
    """
    from aiida_pet.analysis.metrics import elastic, phonons, report

    theirs = ours if given is None else given.frame
    pairs: dict[str, str] = {}
    for text in columns:
        name, equals, other = (part.strip() for part in text.partition("="))
        if name in pairs or (equals and not other) or (given is None and not equals):
            raise click.BadParameter(
                f"{text!r}: expected NAME=REFERENCE, each NAME once", param_hint="--column"
            )
        pairs[name] = other or name
        for column, frame, where in ((name, ours, "results"), (pairs[name], theirs, "references")):
            if column not in frame.columns:
                raise click.BadParameter(
                    f"the {where} have no column {column!r}: there are {shortened(list(frame.columns), 60)}",
                    param_hint="--column",
                )
    if columns:
        return pairs
    known = (*report.HULL, *phonons.UNITS, report.MIN_FREQUENCY, *elastic.MODULI)
    if given is not None:
        pairs = {name: name for name in known if name in ours.columns and name in theirs.columns}
    if not pairs and (given is None or given.structures is None):
        raise click.UsageError(
            "nothing to compare: name columns with --column NAME=REFERENCE; columns of the "
            f"{'results' if given is None else 'references'} are {shortened(list(theirs.columns), 60)}"
        )
    return pairs


def _place(frame: pd.DataFrame, name: str | None, option: str) -> str | None:
    """Return what the column ``name`` of results or references is called in ``frame``."""
    if name is None:
        return None
    for column in (name, PREFIX + name):
        if column in frame.columns:
            return column
    known = [str(column).removeprefix(PREFIX) for column in frame.columns]
    raise click.BadParameter(
        f"there is no column {name!r}: there are {shortened(known, 60)}", param_hint=option
    )


# -- structures --------------------------------------------------------------------------------------------------------


def _structure_metrics(
    rows: Rows, given: Reference | None, symprec: float, count_all: bool
) -> dict[str, Metric]:
    from aiida_pet.analysis.metrics.report import Metric
    from aiida_pet.analysis.metrics.structures import compare_structures, structure_metrics
    from aiida_pet.data.structures import StructureSetData

    if given is None or given.structures is None:
        return {}
    if not isinstance(rows.node, StructureSetData):
        note(f"structures are not compared: the results of <{rows.pk}> hold no crystals")
        return {}
    comparison = compare_structures(rows.node.to_table(), given.structures, symprec=symprec)
    found = structure_metrics(comparison, len(given.structures), count_all)
    return {f"structures/{name}": Metric(value) for name, value in found.items()}


# -- printing ----------------------------------------------------------------------------------------------------------


def _document(
    rows: Rows,
    pairs: Mapping[str, str],
    numbers: Mapping[str, Metric],
    joined: Joined,
    given: Reference | None,
) -> dict[str, Any]:
    return {
        "pk": rows.pk,
        "complete": not rows.missing,
        "reference": None if given is None else given.name,
        "columns": dict(pairs),
        "n_rows": joined.n_rows,
        "n_compared": len(joined.frame),
        "n_without_reference": len(joined.without_reference),
        "n_without_result": len(joined.without_result),
        "without_reference": joined.without_reference,
        "metrics": {name: {"value": metric.value, "unit": metric.unit} for name, metric in numbers.items()},
    }


def _echo_counts(joined: Joined, all_references: bool) -> None:
    missing, unused = joined.without_reference, joined.without_result
    click.echo(f"\n{plural(len(joined.frame), 'row')} compared, of {joined.n_rows:,}")
    if missing:
        click.echo(f"{plural(len(missing), 'row')} without reference, left out: {shortened(missing)}")
    if unused:
        told = (
            "counted as rows without an answer"
            if all_references
            else "left out (--all-references counts them)"
        )
        click.echo(f"{plural(len(unused), 'reference')} without row, {told}: {shortened(unused)}")
