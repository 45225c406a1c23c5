"""Calcfunctions that write down what WorkChains know: rows given up, sums over jobs, one row's values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_pet.data.partial import part_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.input_columns import carried_columns, read_by
from aiida_pet.tables.fingerprints import fingerprints_of

_MOST_CHARACTERS = 160  # each row of a table takes as much memory for a message as the longest


@calcfunction
def record_given_up(structures: StructureSetData, reasons: orm.Dict) -> StructureSetData:
    """Return the crystals that ended their jobs, so that they have no result and will have none.

    :param structures: the set they are of.
    :param reasons: ``reasons``: id -> what the last job said; ``task``: of the jobs.
    :return: their geometry as it was, with ``status`` failed and ``message``.
    """
    told = reasons.get_dict()
    texts = {
        name: "given up: the engine broke down twice on this row, the second time in a job with this row alone: "
        f"{reason}"[:_MOST_CHARACTERS]
        for name, reason in told["reasons"].items()
    }
    names = carried_columns()
    table = part_of(structures, names.rows, names.atoms, names.ragged)
    rows = table.select([name for name in table.ids.tolist() if name in texts])
    given = fingerprints_of(rows, read_by(told["task"]))
    rows.set_column("status", np.full(len(rows), RowStatus.FAILED.value))
    rows.set_column("message", np.array([texts[name] for name in rows.ids.tolist()], dtype=str))
    node = StructureSetData.from_table(rows)
    node.set_fingerprints(given)
    return node


@calcfunction
def summarise_batch(results: StructureSetData, jobs: orm.Dict) -> orm.Dict:
    """Return how a batch went, as plain numbers.

    :param results: the merged rows.
    :param jobs: ``jobs``: one record per job, as :class:`~aiida_pet.workchains.batch.BatchWorkChain` makes them.
    :return: rows by status; jobs; sums over the jobs that ran (not those taken from the cache) of engine, compute and
        wall time (s) and of model evaluations.
    """
    statuses = dict(results.base.attributes.get("counts", {}).get("status", {}))
    records = jobs.get_dict()["jobs"]
    ran = [record for record in records if not record["cached"]]

    def total(key: str) -> float:
        return math.fsum(record.get(key) or 0 for record in ran)

    left = statuses.get(RowStatus.LEFT.value, 0)
    return orm.Dict(
        {
            "rows": len(results),
            "rows_done": len(results) - left,
            "rows_left": left,
            "statuses": statuses,
            "n_jobs": len(records),
            "n_jobs_cached": len(records) - len(ran),
            "engine_s": total("engine_s"),
            "compute_s": total("compute_s"),
            "job_wall_s": total("wall_s"),
            "evaluations": int(total("evaluations")),
            "jobs": records,
        }
    )


@calcfunction
def row_parameters(results: StructureSetData, row_id: orm.Str) -> orm.Dict:
    """Return the scalar columns of one row (eV, A^3, eV/A, GPa), NaN left out, and their ``units``."""
    return orm.Dict(scalar_columns(results, row_id.value))


def scalar_columns(results: StructureSetData, row_id: str) -> dict[str, Any]:
    """Return what :func:`row_parameters` makes a node of."""
    values: dict[str, Any] = {}
    for name, value in results.row(row_id).items():
        if isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
            values[name] = value
    units = {name: results.unit(name) for name in values if name != "id" and results.unit(name)}
    return values | {"units": units}
