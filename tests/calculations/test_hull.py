"""Hulls of nodes, and what provenance says of their energies."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType

from aiida_pet.analysis.hull.levels_of_theory import MixedTheoryError, Theory
from aiida_pet.tables.crystals import StructureTable

# eV per atom
ENERGIES = {"Mo": -10.0, "Ta": -11.0, "MoTa": -10.9}


def make_set(names: list[str], energies: dict[str, float] = ENERGIES, **columns: Any) -> Any:
    """A set of cells on a bcc lattice with energies."""
    from ase.build import bulk

    from aiida_pet.data.structures import StructureSetData

    crystals = []
    for name in names:
        atoms = bulk("Mo", cubic=True)
        atoms.symbols = [name[:2], name[-2:]]
        crystals.append((name, atoms))
    table = StructureTable.from_ase(crystals)
    table.set_column("energy", [2 * energies[name] for name in names], "eV")
    table.set_column("status", ["converged"] * len(names))
    for name, values in columns.items():
        table.set_column(name, values)
    return StructureSetData.from_table(table)


def make_model(content: bytes, tmp_path: Any, level: str | None) -> Any:
    from aiida_pet.data.model import PetModelData

    path = tmp_path / f"{content.decode()}.ckpt"
    path.write_bytes(content)
    card = {"name": "x", "elements": ["Mo", "Ta"], "outputs": ["energy"], "level_of_theory": level}
    return PetModelData.get_or_create(path, card)


def made_by_job(results: Any, model: Any, parameters: dict[str, Any] | None = None) -> Any:
    """Store `results` as the output of a job with `model`."""
    job = orm.CalcJobNode()
    job.base.links.add_incoming(model.store(), LinkType.INPUT_CALC, "model")
    job.base.links.add_incoming(orm.Dict(parameters or {}).store(), LinkType.INPUT_CALC, "parameters")
    job.store()
    results.base.links.add_incoming(job, LinkType.CREATE, "results")
    return results.store()


def test_results_stand_under_the_ids_of_the_set(aiida_profile: Any) -> None:
    from aiida_pet.calculations.hull import energies_above_hull

    structures, references = make_set(["MoTa"]).store(), make_set(["Mo", "Ta"]).store()
    found = energies_above_hull(structures, orm.Dict({}), orm.Dict({}), elements=references)
    results = found["results"]
    assert results.ids.tolist() == ["MoTa"]
    assert results.column("formation_energy").tolist() == pytest.approx([-0.4], abs=1e-12)
    assert results.unit("formation_energy") == "eV/atom"
    assert results.column("decomposition").tolist() == ["1.00 MoTa (MoTa)"]
    summary = found["summary"].get_dict()
    assert (summary["rows"], summary["stable"], summary["missing_elements"]) == (1, 1, [])
    assert results.creator.inputs.elements.uuid == references.uuid


def test_tables_of_references_are_taken_and_levels_compared(aiida_profile: Any) -> None:
    from aiida_pet.analysis.hull.references import References
    from aiida_pet.calculations.hull import energies_above_hull
    from aiida_pet.data.table import TableData

    table = References.of_structures(make_set(["Mo", "Ta"]).to_table(), "mp", Theory("PBE, VASP"))
    references = TableData.from_table(table.to_table()).store()
    structures = make_set(["MoTa"]).store()
    parameters = orm.Dict({"hull": "references"})
    same = orm.Dict({"structures": {"level": "VASP PBE", "models": []}})
    found = energies_above_hull(structures, parameters, same, mp=references)
    assert found["results"].column("e_above_hull").tolist() == pytest.approx([-0.4], abs=1e-12)
    other = orm.Dict({"structures": {"level": "PBEsol", "models": []}})
    with pytest.raises(MixedTheoryError, match="structures is PBEsol, but mp is PBE, VASP"):
        energies_above_hull(structures, parameters, other, mp=references)


def oxides(names: list[str], **columns: Any) -> Any:
    """A set of VO and of the elements, eV per cell."""
    from ase import Atoms

    from aiida_pet.data.structures import StructureSetData

    symbols = {"VO": "VO", "V": "V", "O": "O2"}
    cells = [
        (
            name,
            Atoms(
                symbols[name],
                positions=[[0, 0, 0], [2, 2, 2]][: len(Atoms(symbols[name]))],
                cell=[4] * 3,
                pbc=True,
            ),
        )
        for name in names
    ]
    table = StructureTable.from_ase(cells)
    energies = {"VO": -18.0, "V": -9.0, "O": -10.0}
    table.set_column("energy", [energies[name] for name in names], "eV")
    table.set_column("status", ["converged"] * len(names))
    for name, values in columns.items():
        table.set_column(name, values)
    return StructureSetData.from_table(table)


def test_set_and_relaxed_references_of_the_materials_projects_level_are_corrected(
    aiida_profile: Any, tmp_path: Any
) -> None:
    from aiida_pet.analysis.hull.reference_files import read_references
    from aiida_pet.calculations.hull import DEFAULTS, energies_above_hull, mixture_in, theories_in, to_plain
    from aiida_pet.calculations.theory import theory_of
    from aiida_pet.data.table import TableData

    path = tmp_path / "mp.json"
    entry = {"composition": {"V": 1, "O": 2}, "energy": -25.0, "correction": -3.074, "entry_id": "mp-VO2"}
    path.write_text(json.dumps([entry | {"parameters": {"run_type": "GGA+U"}}]))
    published = TableData.from_table(read_references(path).to_table()).store()
    of_model = {}
    for level in ("PBE (Materials Project)", "PBE (OMat24)"):
        model = make_model(level[:7].encode() + level[-3:].encode(), tmp_path, level)
        structures = made_by_job(oxides(["VO"]), model)
        references = made_by_job(oxides(["V", "O"]), model)
        found = {"structures": theory_of(structures), "own": theory_of(references)}
        problem = mixture_in(found | theories_in(published), ["structures", "own"], DEFAULTS)
        of_model[level] = (structures, references, found, problem)
    structures, references, found, problem = of_model["PBE (OMat24)"]
    assert "structures is PBE (OMat24)" in problem
    assert "and not to PBE (OMat24)" in problem
    structures, references, found, problem = of_model["PBE (Materials Project)"]
    assert problem is None
    results = energies_above_hull(
        structures, orm.Dict({}), orm.Dict(to_plain(found)), own=references, mp=published
    )["results"]
    assert results.column("correction").tolist() == pytest.approx([-1.7 - 0.687], abs=1e-9)
    expected = (-18.0 - 1.7 - 0.687 + 9.0 + 5.0) / 2
    assert results.column("formation_energy").tolist() == pytest.approx([expected], abs=1e-9)


def test_a_set_relaxed_under_pressure_without_enthalpies_is_refused(
    aiida_profile: Any, tmp_path: Any
) -> None:
    """As version 0.1.0 made them."""
    from aiida_pet.analysis.hull.competing import PressureError
    from aiida_pet.calculations.hull import energies_above_hull, pressure_mixture

    model = make_model(b"pressed", tmp_path, "PBE")
    structures = made_by_job(make_set(["Mo", "Ta", "MoTa"]), model, {"pressure": 60.0})
    told = "were relaxed under 60 GPa and have no column 'enthalpy'"
    assert told in str(pressure_mixture(structures, {}, None))
    with pytest.raises(PressureError, match=told):
        energies_above_hull(structures, orm.Dict({}), orm.Dict({}))


def test_levels_within_a_set_are_read_from_its_run_types_and_can_be_forced(aiida_profile: Any) -> None:
    from aiida.engine import run_get_node

    from aiida_pet.calculations.theory import theory_of
    from aiida_pet.workchains.hull import HullWorkChain

    names = ["Mo", "Ta", "MoTa"]
    one = make_set(names, run_type=["GGA", "GGA", "GGA"]).store()
    assert theory_of(one) == Theory("PBE")
    corrected = make_set(names, run_type=["GGA", "GGA+U", "GGA"], correction=[0.0, -1.0, 0.0]).store()
    assert theory_of(corrected) == Theory("PBE, corrected")
    mixed = make_set(names, run_type=["GGA", "R2SCAN", "GGA"]).store()
    told = r"structures: the rows of one table have different levels of theory: PBE \(2\); r2SCAN \(1\)"
    with pytest.raises(ValueError, match=told):
        run_get_node(HullWorkChain, structures=mixed)
    _, node = run_get_node(HullWorkChain, structures=mixed, parameters={"force_mixture": True})
    assert node.is_finished_ok, node.exit_message


def test_theory_is_found_through_merges(aiida_profile: Any, tmp_path: Any) -> None:
    from aiida_pet.calculations.functions import merge_tables
    from aiida_pet.calculations.theory import parameters_behind, theory_of

    first, second = make_model(b"one", tmp_path, "PBE"), make_model(b"two", tmp_path, "PBE")
    start = made_by_job(
        make_set(["Mo", "Ta"]), second, {"fmax": 0.5}
    )  # what was relaxed, by another model before
    parts = {name: made_by_job(make_set([name]), first, {"fmax": 0.1}) for name in ("Mo", "Ta")}
    merged = merge_tables(structures=start, **parts)
    assert theory_of(merged) == Theory("PBE", (first.sha256,))
    assert parameters_behind(merged) == {"fmax": 0.1}
    both = merge_tables(structures=start, a=parts["Mo"], b=made_by_job(make_set(["Ta"]), second))
    assert theory_of(both) == Theory("PBE", tuple(sorted((first.sha256, second.sha256))))
    assert parameters_behind(both) is None


def test_theory_of_what_was_imported_is_in_its_columns(aiida_profile: Any) -> None:
    from aiida_pet.calculations.theory import theory_of

    assert theory_of(make_set(["Mo"]).store()) == Theory()
    assert theory_of(make_set(["Mo"], level_of_theory=["PBE, VASP"]).store()) == Theory("PBE, VASP")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hul": "all"}, "hul: unknown; known are hull, force_mixture"),
        ({"hull": "mine"}, "hull = 'mine': expected all or references"),
        ({"force_mixture": "yes"}, "force_mixture = 'yes': expected true or false"),
        ({"stability_threshold": np.inf}, "stability_threshold = inf eV/atom: expected a finite number"),
        ({"level_of_theory": 1}, "level_of_theory = 1: expected a text"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], message: str) -> None:
    from aiida_pet.calculations.hull import check_hull_parameters

    assert re.match(message, check_hull_parameters(parameters) or "")


def test_references_that_are_none_are_named(aiida_profile: Any) -> None:
    from aiida_pet.calculations.hull import check_reference
    from aiida_pet.data.table import TableData

    assert check_reference("x", make_set(["Mo"])) is None
    unfinished = make_set(["Mo"], status=["left"])
    assert check_reference("x", unfinished) == "none of the 1 references 'x' is converged"
    assert "lack columns energy_per_atom" in (check_reference("x", TableData.from_ids(["a"])) or "")
