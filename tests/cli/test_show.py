"""`aiida-pet show`: everything of one crystal, under the right heading and with units."""

from __future__ import annotations

import difflib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from ase.build import bcc100, bulk

from aiida_pet.tables.columns import section_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged
from aiida_pet.tables.table import Table

P4_MMM = 61  # layer group of a square lattice of atoms and of those between them
TENSOR = np.diag([250.0, 251.0, 252.0, 61.0, 62.0, 63.0]) + 0.5


def screened(ids: list[str]) -> StructureTable:
    """What a screening leaves of crystals: a few columns of each stage."""
    table = StructureTable.from_ase((name, bulk("Mo", a=3.15 + 0.01 * i)) for i, name in enumerate(ids))
    count = len(ids)
    for name, values, unit in (
        ("input_energy", np.full(count, -9.0), "eV"),
        ("stage", np.full(count, "done"), None),
        ("status", np.full(count, "converged"), None),
        ("energy", np.full(count, -10.5), "eV"),
        ("stress", np.zeros((count, 6)), "eV/A^3"),
        ("spacegroup_0_01", np.full(count, 229), None),
        ("spacegroup_0_1", np.full(count, 221), None),
        ("message", np.full(count, ""), None),
        ("symmetry_warning", np.full(count, "space group 229 at 0.01 A, 221 at 0.1 A"), None),
        ("e_above_hull", np.full(count, 0.0123), "eV/atom"),
        ("decomposition", np.full(count, "1.00 Mo (el-Mo)"), None),
        ("phonons_status", np.full(count, "converged"), None),
        ("min_frequency", np.full(count, np.nan), "THz"),
        ("heat_capacity_300", np.full(count, 23.5), "J/(K mol)"),
        ("is_mechanically_stable", np.full(count, True), None),
        ("bulk_modulus", np.full(count, 260.0), "GPa"),
        ("elastic_tensor", np.tile(TENSOR, (count, 1, 1)), "GPa"),
        ("series", np.full(count, "odd"), None),
    ):
        table.set_column(name, values, unit)
    return table


def phonon_table(ids: list[str]) -> Table:
    """What a stage of phonons has beside the final table."""
    columns = {
        "status": np.full(len(ids), "converged"),
        "min_frequency": np.full(len(ids), -1.0),
        "zero_point_energy": np.full(len(ids), 4.5),
        "entropy": np.ones((len(ids), 101)),
    }
    ragged = {"force_constants": Ragged.of([np.zeros((16 + i, 3, 3)) for i in range(len(ids))])}
    units = {"zero_point_energy": "kJ/mol", "force_constants": "eV/A^2"}
    return Table(np.array(ids), columns, units, ragged)


@pytest.fixture
def screening(aiida_profile: Any) -> Any:
    """A finished screening as it stands in the database, one row of two with phonons."""
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.data.table import TableData

    node = orm.WorkChainNode(process_type="aiida.workflows:pet.screen")
    node.set_process_state("finished")
    node.set_exit_status(0)
    node.store()
    results = StructureSetData.from_table(screened(["MoTa-0013", "MoTa-0014"])).store()
    results.base.links.add_incoming(node, LinkType.RETURN, "results")
    stage = TableData.from_table(phonon_table(["MoTa-0013"])).store()
    stage.base.links.add_incoming(node, LinkType.RETURN, "stages__phonons")
    return node


def test_show_puts_every_column_under_its_heading_with_units(invoke: Any, screening: Any) -> None:
    lines = invoke("show", screening.pk, "MoTa-0013").output.splitlines()
    assert lines[0] == "MoTa-0013, Mo"
    headings = [line for line in lines if line and not line.startswith(" ")][1:]
    assert headings == [
        "status",
        "geometry",
        "relaxation",
        "symmetry",
        "hull",
        "phonons",
        "elastic",
        "other",
        f"stage phonons <{screening.outputs.stages.phonons.pk}>",
        "provenance",
    ]
    pairs = dict(line.strip().split(":", 1) for line in lines if line.startswith("  ") and ":" in line)
    values = {name: value.strip() for name, value in pairs.items()}
    assert "message" not in values  # there is none
    assert values["energy (eV)"] == "-10.500"
    assert values["symmetry_warning"] == "space group 229 at 0.01 A, 221 at 0.1 A"
    assert values["space groups"] == "0.01 A: 229 Im-3m, 0.1 A: 221 Pm-3m"
    assert values["e_above_hull (eV/atom)"] == "0.0123"
    assert values["min_frequency (THz)"] == "-"
    assert values["heat_capacity_300 (J/(K mol))"] == "23.50"
    assert values["is_mechanically_stable"] == "yes"
    assert values["stress (eV/A^3)"] == "[0, 0, 0, 0, 0, 0]"
    assert values["series"] == "odd"
    assert values["zero_point_energy (kJ/mol)"] == "4.50"
    assert values["force_constants (eV/A^2)"] == "array 16 x 3 x 3"
    assert values["entropy"] == "array 101"


def test_elastic_tensor_is_a_matrix_in_voigt_order(invoke: Any, screening: Any) -> None:
    lines = invoke("show", screening.pk, "MoTa-0013").output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip() == "elastic_tensor (GPa):")
    assert lines[start + 1].split() == ["xx", "yy", "zz", "yz", "xz", "xy"]
    rows = [line.split() for line in lines[start + 2 : start + 8]]
    assert [row[0] for row in rows] == ["xx", "yy", "zz", "yz", "xz", "xy"]
    np.testing.assert_allclose([[float(value) for value in row[1:]] for row in rows], TENSOR)


def test_json_has_the_same_and_positions(read: Any, screening: Any) -> None:
    document = read("show", screening.pk, "MoTa-0014")
    assert (document["pk"], document["id"], document["complete"]) == (screening.pk, "MoTa-0014", True)
    structure = document["structure"]
    assert (structure["formula"], structure["n_atoms"]) == ("Mo", 1)
    assert structure["volume_A3"] == pytest.approx(3.16**3 / 2)
    assert structure["lengths_A"] == pytest.approx([3.16 * np.sqrt(3) / 2] * 3)
    assert structure["positions_A"] == [[0, 0, 0]]
    assert document["hull"]["e_above_hull"] == 0.0123
    assert document["phonons"]["min_frequency"] is None
    assert document["elastic"]["elastic_tensor"] == TENSOR.tolist()
    assert document["units"]["bulk_modulus"] == "GPa"
    assert document["other"] == {"input_energy": -9.0, "series": "odd"}
    stage = document["stages"]["phonons"]
    assert stage == {"pk": screening.outputs.stages.phonons.pk, "reached": False}


def test_stage_tells_only_what_the_final_table_lacks(read: Any, screening: Any) -> None:
    stage = read("show", screening.pk, "MoTa-0013")["stages"]["phonons"]
    assert stage["status"] == {"status": "converged"}
    assert stage["phonons"] == {"zero_point_energy": 4.5}
    assert stage["arrays"] == {"force_constants": [16, 3, 3], "entropy": [101]}


def test_row_that_did_not_come_to_a_stage_is_told(invoke: Any, screening: Any) -> None:
    assert "stage phonons" in (output := invoke("show", screening.pk, "MoTa-0014").output)
    assert "the row did not reach it" in output


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("MoTa-001", "closest are MoTa-0014, MoTa-0013"),
        ("mota_14", "closest are MoTa-0014"),
        ("x", "there are MoTa-0013 MoTa-0014"),
    ],
)
def test_unknown_id_names_the_closest(invoke: Any, screening: Any, asked: str, told: str) -> None:
    output = invoke("show", screening.pk, asked, status=1).output
    assert output.startswith(f"Error: no row {asked!r} among the 2 of StructureSetData")
    assert told in output


def test_provenance_leads_to_the_file(
    invoke: Any, read: Any, launch: Any, alloys_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "alloys of its own.xyz"  # equal content would be the node of another test
    path.write_text(alloys_file.read_text().replace("series=even", "series=own"))
    node = launch("relax", path)
    document = read("show", node.pk, "alloy-3")
    steps = {step["role"]: step for step in document["provenance"]}
    assert steps["result"]["pk"] == node.outputs.results.pk
    assert orm.load_node(steps["job"]["pk"]) in node.called_descendants
    assert steps["model"]["uuid"] == node.inputs.model.uuid
    assert steps["input"]["imported_from"][-1]["path"] == str(path)
    assert document["arrays"]["forces"] == [8, 3]
    output = invoke("show", node.pk, "alloy-3").output
    assert f"<{node.inputs.structures.pk}> StructureSetData, imported from {path}" in output


def test_hull_has_the_geometry_of_the_set_and_its_provenance(read: Any, aiida_profile: Any) -> None:
    """The results of a hull are a table without crystals."""
    from aiida.engine import run_get_node

    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.workchains.hull import HullWorkChain

    table = StructureTable.from_ase(("x", bulk("Mo", a=3.15)) for _ in range(1))
    table.set_column("energy", [-10.5], "eV")
    structures = StructureSetData.from_table(table).store()
    node = run_get_node(HullWorkChain, structures=structures).node
    for pk in (node.pk, node.outputs.results.pk):
        document = read("show", pk, "x")
        assert document["structure"]["pk"] == structures.pk
        assert document["structure"]["spacegroups"] == dict.fromkeys(
            ("spacegroup_0_001", "spacegroup_0_01", "spacegroup_0_1"), 229
        )
        assert document["hull"]["decomposition"] == "1.00 Mo (x)"
        assert [step["pk"] for step in document["provenance"]] == [
            node.outputs.results.pk,
            node.outputs.results.creator.pk,
            structures.pk,
        ]


def test_results_so_far_are_shown_and_said_to_be_that(invoke: Any, make_campaign: Any) -> None:
    made = make_campaign(["a", "b", "c"])
    made.finish_job(["a", "b"])
    made.add_job(["c"])
    result = invoke("show", made.node.pk, "b")
    assert "energy (eV):" in result.stdout
    assert "these are the 2 rows of 1 of 2 jobs so far" in result.stderr


def test_columns_of_the_engine_have_their_headings() -> None:
    """What the engine and the hull write, none of it under `other`."""
    from aiida_pet.crystals.elastic.moduli import ElasticModuli
    from aiida_pet.crystals.phonons.harmonic import HarmonicProperties

    assert {section_of(field.name) for field in fields(HarmonicProperties)} == {"phonons"}
    assert {section_of(field.name) for field in fields(ElasticModuli)} == {"elastic"}
    for section, names in {
        "status": "status message hull_status hull_message elastic_status phonons_message stage passed reason",
        "relaxation": "energy initial_energy volume initial_volume stress fmax stress_max n_steps heads "
        "energy_gained relaxation",
        "symmetry": "spacegroup_0_01 initial_spacegroup_0_1 symmetry_kept_0_01 symmetry_warning "
        "phonons_symmetry_warning free_spacegroup_0_01 crystal_system laue_class",
        "hull": "formation_energy e_above_hull phase_separation_energy is_stable decomposition decomposition_amounts",
        "phonons": "net_force acoustic_sum_rule_before hessian_asymmetry supercell_matrix supercell_image "
        "n_displacements displacement force_constants primitive_atoms check_frequency_change temperatures",
        "elastic": "elastic_tensor_ieee fit_residual laue_deviation n_strains debye_temperature",
        "other": "n_atoms input_energy series",
    }.items():
        assert {name: section_of(name) for name in names.split()} == dict.fromkeys(names.split(), section)


def test_screening_as_it_is_made_has_its_stages(read: Any, launch: Any, alloys_file: Any) -> None:
    node = launch("screen", alloys_file, "--stages", "relax,symmetry,hull")
    document = read("show", node.pk, "alloy-3")
    assert set(document["stages"]) == {"relax", "symmetry", "hull"}
    assert all(stage["reached"] for stage in document["stages"].values())
    assert document["structure"]["formula"] == "MoW7"
    # no Mo among the phases: the row stays, and says why it left
    assert document["status"]["stage"] == "hull"
    assert "no reference for Mo" in document["status"]["reason"]
    # what was relaxed is per atom there, and not in the final table
    assert document["stages"]["relax"]["arrays"] == {"forces": [8, 3]}
    assert document["symmetry"]["spacegroup"] > 0
    assert document["provenance"][0]["pk"] == node.outputs.results.pk


def test_closest_ids_of_a_large_table_are_looked_for_beside_it(invoke, aiida_profile, monkeypatch):
    from aiida_pet.data.table import TableData

    compared = []

    def spy(word, possibilities, **options):
        compared.append(len(possibilities))
        return close(word, possibilities, **options)

    close = difflib.get_close_matches
    monkeypatch.setattr("aiida_pet.tables.closest.get_close_matches", spy)
    node = TableData.from_ids(f"wbm-{index:05d}" for index in range(9000, 0, -1)).store()
    output = invoke("show", node.pk, "wbm-04711x", status=1).output
    assert "closest are wbm-04711" in output
    assert compared == [2000]
    output = invoke("show", node.pk, "zzz", status=1).output
    assert "there are wbm-09000 wbm-08999" in output


def test_slabs_have_layer_groups_and_what_is_less_periodic_has_neither(
    invoke: Any, read: Any, aiida_profile: Any
) -> None:
    from aiida_pet.data.structures import StructureSetData

    slab = bcc100("W", (1, 1, 3), a=3.17, vacuum=8)
    slab.pbc = (True, True, False)
    wire = slab.copy()
    wire.pbc = (True, False, False)
    crystals = [("slab", slab), ("wire", wire), ("solid", bulk("W"))]
    node = StructureSetData.from_table(StructureTable.from_ase(crystals)).store()
    assert read("show", node.pk, "slab")["structure"]["layergroups"]["layergroup_0_01"] == P4_MMM
    lines = {name: invoke("show", node.pk, name).output.splitlines() for name, _ in crystals}
    told = {name: next(line for line in of if "groups" in line).split() for name, of in lines.items()}
    assert " ".join(told["slab"]) == f"layer groups: 0.001 A: {P4_MMM}, 0.01 A: {P4_MMM}, 0.1 A: {P4_MMM}"
    assert " ".join(told["solid"]) == "space groups: 0.001 A: 229 Im-3m, 0.01 A: 229 Im-3m, 0.1 A: 229 Im-3m"
    assert (
        " ".join(told["wire"])
        == "space groups: none, since the crystal is periodic in fewer than two directions"
    )
    assert not any("groups: 0" in line for of in lines.values() for line in of)


def test_layer_groups_of_the_table_are_told(invoke: Any, aiida_profile: Any) -> None:
    from aiida_pet.data.structures import StructureSetData

    slab = bcc100("W", (1, 1, 3), a=3.17, vacuum=8)
    slab.pbc = (True, True, False)
    table = StructureTable.from_ase([("slab", slab), ("solid", bulk("W"))])
    for name, values in (
        ("spacegroup_0_01", np.array([0, 229])),
        ("layergroup_0_01", np.array([55, 0])),
        ("symmetry_kept_0_01", np.array([1.0, np.nan])),  # the second was refused
        ("n_steps", np.array([7.0, np.nan])),
    ):
        table.set_column(name, values, None)
    node = StructureSetData.from_table(table).store()
    for name, told in (("slab", "layer groups: 0.01 A: 55"), ("solid", "space groups: 0.01 A: 229 Im-3m")):
        lines = [" ".join(line.split()) for line in invoke("show", node.pk, name).output.splitlines()]
        assert told in lines
        known = {"slab": ("yes", "7"), "solid": ("-", "-")}[name]
        assert {f"symmetry_kept_0_01: {known[0]}", f"n_steps: {known[1]}"} <= set(lines)
