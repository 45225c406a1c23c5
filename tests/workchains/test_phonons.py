"""Phonons through AiiDA: what a single crystal gets beside its row, and where imaginary modes lead."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phonopy
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase import Atoms
from ase.build import bulk, make_supercell

from aiida_pet.calculations.harmonic import phonon_bands
from aiida_pet.calculations.harmonic_parameters import FollowParameters
from aiida_pet.calculations.phonons import PhononCalculation
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.folder import JobFolder, Task
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.phonons import SINGLE, PhononWorkChain
from aiida_pet.workchains.protocols import protocol_inputs
from aiida_pet.workchains.relax import RelaxWorkChain
from support.small_model import small_model, small_model_node

Inputs = Callable[..., dict[str, Any]]
Run = Callable[..., Any]

COPPER = bulk("Cu", "fcc", a=3.59)
UNSTABLE = bulk("Cu", "bcc", a=2.86)
ALLOY = bulk("CuPd", "cesiumchloride", a=2.99)
EVERYTHING = {
    "bands",
    "dos",
    "thermal_properties",
    "phonopy_params",
    "output_parameters",
    "output_structure",
    "results",
    "summary",
}


@pytest.fixture(scope="module")
def emt_inputs(module_inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Return a factory of code, model and options, the engine being EMT's; with environment variables for it."""
    script = Path(__file__).parents[1] / "support" / "stand_in_phonons.py"
    executable = tmp_path_factory.mktemp("emt") / "pet-engine"
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    executable.chmod(0o755)
    computer = module_inputs(1)["code"].computer
    code = orm.InstalledCode(label="emt", computer=computer, filepath_executable=str(executable)).store()

    def make(**environment: Any) -> dict[str, Any]:
        inputs = module_inputs(1, **environment)
        return {"code": code, "model": inputs["model"], "options": inputs["options"]}

    return make


@pytest.fixture(scope="module")
def single(emt_inputs: Inputs) -> Run:
    """Return a function that runs phonons of one crystal."""

    def run(atoms: Atoms, environment: dict[str, Any] | None = None, **inputs: Any) -> Any:
        coarse = {"dos": {"mesh": 15.0}, "thermal": {"mesh": 15.0}}  # unless the test says otherwise
        inputs = (
            coarse | inputs | emt_inputs(**(environment or {})) | {"structure": orm.StructureData(ase=atoms)}
        )
        return run_get_node(PhononWorkChain, **inputs)[1]

    return run


@pytest.fixture(scope="module")
def copper(single: Run) -> Any:
    """Phonons of a stable crystal, each port of its properties given."""
    return single(
        COPPER,
        parameters={"phonon_symprec": 1e-4},
        bands={"spacing": 0.05},
        dos={"sigma": 0.3, "n_points": 77, "mesh": 20.0},
        thermal={"temperatures": [10.0, 1234.0], "mesh": 20.0},
        follow_modes=True,
    )


# -- one crystal ---------------------------------------------------------------------------------------------------


def test_single_crystal_comes_with_everything(copper: Any) -> None:
    """And with nothing more, there being no modes to follow."""
    assert copper.is_finished_ok, copper.exit_message
    assert set(copper.outputs) == EVERYTHING
    assert len(jobs_of(copper)) == 1
    parameters = copper.outputs.output_parameters.get_dict()
    assert parameters["warnings"] == []
    assert (parameters["path_of"], parameters["path_spacegroup"], parameters["path_symprec"]) == (
        "crystal",
        225,
        0.01,
    )
    assert parameters["n_imaginary"] == 0
    for name in ("bands", "dos", "thermal_properties", "phonopy_params", "output_parameters"):
        assert copper.outputs[name].creator.inputs.results.uuid == copper.outputs.results.uuid


def test_parameters_of_each_port_are_taken(copper: Any) -> None:
    outputs = copper.outputs
    assert outputs.bands.creator.inputs.parameters.get_dict() == {"phonon_symprec": 1e-4, "spacing": 0.05}
    assert outputs.phonopy_params.creator.inputs.parameters.get_dict() == {"phonon_symprec": 1e-4}
    assert len(outputs.dos.get_x()[1]) == 77
    assert outputs.dos.base.attributes.get("sigma") == 0.3
    assert outputs.thermal_properties.get_x()[1].tolist() == [10.0, 300.0, 1234.0]


def test_outputs_are_those_of_the_file_that_phonopy_loads(copper: Any, tmp_path: Path) -> None:
    path = tmp_path / "phonopy_params.yaml"
    path.write_text(copper.outputs.phonopy_params.get_content())
    loaded = phonopy.load(path, log_level=0)
    bands = copper.outputs.bands
    expected = loaded.run_qpoints(bands.get_kpoints()).frequencies
    np.testing.assert_allclose(bands.get_bands(), expected, rtol=0, atol=1e-4)
    assert [label for _, label in bands.labels[:2]] == ["GAMMA", "X"]
    np.testing.assert_allclose(loaded.primitive.cell, copper.outputs.output_structure.cell, atol=1e-9)


def test_crystal_that_lost_its_group_is_on_the_path_of_its_start(single: Run) -> None:
    node = single(ALLOY, {"STAND_IN_MOVE": 0.03}, follow_modes=False)
    assert node.is_finished_ok, node.exit_message
    assert set(node.outputs) == EVERYTHING  # it has imaginary modes, but nobody wants them followed
    assert node.outputs.output_parameters["n_imaginary"] > 0
    attributes = node.outputs.bands.base.attributes
    assert (attributes.get("path_of"), attributes.get("path_spacegroup"), attributes.get("spacegroup")) == (
        "start",
        221,
        99,
    )
    parameters = node.outputs.output_parameters.get_dict()
    assert (parameters["path_of"], parameters["path_spacegroup"]) == ("start", 221)
    assert any("at the start it was 221" in text for text in parameters["warnings"])
    assert node.outputs.bands.creator.inputs.start.uuid == node.inputs.structure.uuid


def test_crystal_that_fits_no_path_comes_without_bands_and_says_so(single: Run) -> None:
    """Its cell held two primitive ones at the start, and is primitive now: the path of the start does not fit."""
    double = make_supercell(ALLOY, np.diag([1, 1, 2]))
    node = single(double, {"STAND_IN_MOVE": 0.03})
    assert node.exit_status == 421
    assert node.exit_message.startswith(
        "The bands could not be made; all other outputs are there: space group at path_symprec"
    )
    assert "and the path of the unrelaxed crystal does not fit" in node.exit_message
    assert set(node.outputs) == EVERYTHING - {"bands"}
    parameters = node.outputs.output_parameters.get_dict()
    assert any("the path of the unrelaxed crystal does not fit" in text for text in parameters["warnings"])
    assert "path_of" not in parameters


def test_crystal_is_put_on_the_path_of_a_parent(single: Run) -> None:
    """One that is tetragonal from the start has its own path, and that of the cubic parent if it is asked for."""
    tetragonal = ALLOY.copy()
    tetragonal.set_cell(ALLOY.cell[:] * [1, 1, 1.04], scale_atoms=True)
    node = single(tetragonal, parent=orm.StructureData(ase=ALLOY))
    assert node.is_finished_ok, node.exit_message
    attributes = node.outputs.bands.base.attributes
    assert (attributes.get("path_of"), attributes.get("path_spacegroup"), attributes.get("spacegroup")) == (
        "parent",
        221,
        123,
    )
    assert node.outputs.output_parameters["warnings"] == [attributes.get("warning")]


def test_crystal_without_answer_has_nothing_more(single: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiida_pet.workchains.crystals.SINGLE_ID", "max_steps")
    node = single(COPPER)
    assert node.exit_status == 420
    assert set(node.outputs) == {"output_parameters", "output_structure", "results", "summary"}


# -- imaginary modes -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crystal_set(aiida_profile: Any) -> StructureSetData:
    crystals = [("stable", COPPER), ("bcc", UNSTABLE), ("alloy", ALLOY)]
    return StructureSetData.from_iterator(crystals).store()


def test_modes_of_a_set_are_followed_by_a_child_with_the_same_inputs(
    emt_inputs: Inputs, crystal_set: StructureSetData
) -> None:
    _, node = run_get_node(
        PhononWorkChain,
        structures=crystal_set,
        lanes=2,
        max_failures=4,
        settings={"threads": 1},
        parameters={"fmax": 0.003, "stress_max": 0.2, "imaginary_threshold": 0.05},
        follow_modes={"amplitude": 0.2, "relax": {"max_steps": 77}},
        **emt_inputs(),
    )
    assert node.is_finished_ok, node.exit_message
    assert set(node.outputs) == {"results", "summary", "followed", "followed_structures"}
    assert len(node.outputs.results) == 3
    child = next(called for called in node.called if called.process_class is RelaxWorkChain)
    displaced = child.inputs.structures
    assert displaced.ids.tolist() == ["bcc", "alloy"]
    assert displaced.column("mode_amplitude").tolist() == [0.2, 0.2]
    given = displaced.creator.inputs.parameters.get_dict()
    assert given == {"amplitude": 0.2, "phonon_symprec": 1e-5, "imaginary_threshold": 0.05}
    parameters = child.inputs.parameters.get_dict()
    wanted = {"symmetry": "none", "fmax": 0.003, "stress_max": 0.2, "max_steps": 77, "dtype": "float64"}
    assert {name: parameters[name] for name in wanted} == wanted
    for name in ("code", "model", "lanes", "max_failures"):
        assert child.inputs[name].uuid == node.inputs[name].uuid
    assert len(jobs_of(child)) == 2  # as many lanes
    assert node.outputs.followed_structures.uuid == child.outputs.results.uuid
    followed = node.outputs.followed
    assert followed.ids.tolist() == ["bcc", "alloy"]
    # the engine that stands in relaxes nothing: the energies are those of the displaced crystals, by ASE itself
    from ase.calculators.emt import EMT

    for place, start in enumerate((UNSTABLE, ALLOY)):
        moved = displaced.get_ase(str(displaced.ids[place]))
        before, after = (
            start.copy(),
            Atoms(moved.numbers, positions=moved.positions, cell=moved.cell, pbc=True),
        )
        before.calc, after.calc = EMT(), EMT()
        gained = before.get_potential_energy() / len(before) - after.get_potential_energy() / len(after)
        assert followed.column("energy_gained")[place] == pytest.approx(gained, abs=1e-9)
    assert followed.column("initial_spacegroup_0_01").tolist() == [229, 221]
    assert 229 not in followed.column("spacegroup_0_01").tolist()


def test_single_crystal_is_followed_and_keeps_its_own_outputs(single: Run) -> None:
    """And a second time, if that is wanted, without a job."""
    node = single(UNSTABLE, follow_modes=True)
    assert node.is_finished_ok, node.exit_message
    assert set(node.outputs) == EVERYTHING | {"followed", "followed_structures"}
    assert node.outputs.followed.ids.tolist() == node.outputs.results.ids.tolist()
    assert node.outputs.followed.column("mode_amplitude")[0] == 0.1
    again = single(UNSTABLE, follow_modes=True, reuse=True)
    assert [job.base.caching.is_created_from_cache for job in jobs_of(again)] == [True, True]
    assert set(again.outputs) == set(node.outputs)


def test_relaxation_that_fails_takes_nothing_of_the_phonons_away(single: Run) -> None:
    node = single(UNSTABLE, {"STAND_IN_NOT_RELAXED": 1}, follow_modes=True, max_failures=1)
    assert node.exit_status == 422
    assert "The relaxations along the imaginary modes gave no result" in node.exit_message
    assert "No row has a result" in node.exit_message
    assert set(node.outputs) == EVERYTHING


# -- inputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": {"spacin": 1}}, "spacin: unknown; known are phonon_symprec, path_symprec, spacing"),
        ({"dos": {"sigma": -1}}, "sigma = -1 THz: expected a number > 0"),
        ({"thermal": {"temperatures": [-5]}}, "temperatures must not be negative"),
        ({"follow_modes": {"amplitud": 1}}, "amplitud: unknown; known are phonon_symprec, amplitude"),
        ({"follow_modes": {"relax": 3}}, "relax = 3: expected parameters such as {'fmax': 0.001}"),
        ({"follow_modes": {"relax": {"fmx": 3}}}, "follow_modes.relax: bad parameters of relax"),
        (
            {"follow_modes": {"imaginary_threshold": 0.2}},
            "imaginary_threshold: the relaxation uses the same value as the phonons, so set it in `parameters`",
        ),
        ({"task": "relax"}, "task = 'relax': PhononWorkChain does phonons"),
        ({"parameters": {"mesh": 0}}, "mesh = 0 A: expected a number > 0"),
    ],
)
def test_bad_inputs_are_refused_at_submission(
    emt_inputs: Inputs, change: dict[str, Any], message: str
) -> None:
    inputs = emt_inputs() | {"structure": orm.StructureData(ase=COPPER)} | change
    with pytest.raises(ValueError, match=re.escape(message)):
        run_get_node(PhononWorkChain, **inputs)


def test_ports_of_a_single_crystal_are_refused_for_a_set(
    emt_inputs: Inputs, crystal_set: StructureSetData
) -> None:
    inputs = emt_inputs() | {"structures": crystal_set, "dos": {}, "parent": orm.StructureData(ase=COPPER)}
    with pytest.raises(
        ValueError, match="dos, parent: only for a single `structure`; for a row of a set call"
    ):
        run_get_node(PhononWorkChain, **inputs)


def test_builder_takes_protocol_and_ports(emt_inputs: Inputs) -> None:
    inputs = emt_inputs()
    crystal, parent = orm.StructureData(ase=COPPER), orm.StructureData(ase=COPPER)
    builder = PhononWorkChain.get_builder_from_protocol(
        inputs["code"],
        inputs["model"],
        crystal,
        protocol="fast",
        overrides={"parameters": {"min_image": 7.5}},
        options=inputs["options"],
        lanes=3,
        bands={"spacing": 0.02},
        dos={"sigma": 0.2},
        thermal={"temperatures": [1.0]},
        parent=parent,
        follow_modes={"amplitude": 0.3},
    )
    assert (builder.parameters["min_image"], builder.parameters["fmax"]) == (7.5, 0.001)
    assert builder.parameters["symmetry"] == "constrained"
    assert (builder.bands["spacing"], builder.dos["sigma"], builder.thermal["temperatures"]) == (
        0.02,
        0.2,
        [1.0],
    )
    assert (builder.structure.uuid, builder.parent.uuid, builder.lanes.value) == (
        crystal.uuid,
        parent.uuid,
        3,
    )
    assert builder.follow_modes["amplitude"] == 0.3
    plain = PhononWorkChain.get_builder_from_protocol(
        inputs["code"], inputs["model"], crystal, follow_modes=True
    )
    assert plain.follow_modes.value is True
    assert "bands" not in plain._inputs(prune=True)


# -- the page ------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "phonons.md").read_text()


def test_page_names_every_port_parameter_and_exit_code() -> None:
    spec = PhononWorkChain.spec()
    own = {*spec.inputs} - {*RelaxWorkChain.spec().inputs}
    names = own | {*spec.outputs} - {"summary"}
    for schema in (*SINGLE.values(), FollowParameters):
        names |= set(schema.model_fields) - {"phonon_symprec"}
    assert [name for name in sorted(names) if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE] == []
    codes = [code.status for code in spec.exit_codes.values() if code.status >= 420]
    assert codes == [420, 421, 422]
    assert all(f"| {code} |" in PAGE for code in codes)


def test_page_has_the_numbers_of_the_protocols() -> None:
    rows = dict(re.findall(r"^\| ([^|]+?) \| (.+) \|$", PAGE, re.MULTILINE))
    found = [protocol_inputs(Task.PHONONS, name).parameters for name in ("fast", "moderate", "precise")]
    filled = [parse_parameters(Task.PHONONS, parameters).model_dump() for parameters in found]
    for title, name, unit in (
        ("between images (`min_image`)", "min_image", " A"),
        ("atoms of a supercell (`max_atoms`)", "max_atoms", ""),
        ("mesh of q-points", "mesh", " A"),
        ("force constants", "force_constants", ""),
    ):
        shown = [f"{one[name]:g}{unit}" if name != "force_constants" else one[name].value for one in filled]
        assert rows[title].split(" | ") == shown
    assert [one["displacement"] for one in filled] == [None, None, 0.01]
    relaxed = [f"{one['fmax']:.0e} eV/A".replace("e-0", "e-") for one in filled]
    assert [text.split(",")[0] for text in rows["relaxed to"].split(" | ")] == relaxed


def test_set_with_born_charges_of_the_page_is_what_the_engine_is_given(
    emt_inputs: Inputs, generate_calc_job: Callable[..., Any]
) -> None:
    block = next(
        text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "born_charges" in text
    )
    names: dict[str, Any] = {}
    exec(compile(block.replace("load_profile()", ""), "docs/phonons.md", "exec"), names)
    inputs = emt_inputs()
    metadata = {"options": inputs.pop("options")}
    _, folder = generate_calc_job(
        PhononCalculation, inputs | {"structures": names["corrected"], "metadata": metadata}
    )
    table = JobFolder(folder).read_structures()
    np.testing.assert_allclose(table.atom_columns["born_charges"][1], -1.09 * np.eye(3))
    np.testing.assert_allclose(table.columns["dielectric_tensor"][0], 2.43 * np.eye(3))


# -- the real engine -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine_inputs(module_inputs: Inputs) -> dict[str, Any]:
    """Code, the small model and options of the real engine."""
    for module in ("torch", "metatrain", "metatomic.torch"):
        pytest.importorskip(module, reason="needs the extra `engine`")

    inputs = module_inputs(1)
    code = orm.InstalledCode(
        label="pet-engine",
        computer=inputs["code"].computer,
        filepath_executable=str(Path(sys.executable).parent / "pet-engine"),
    ).store()
    return {
        "code": code,
        "model": small_model_node(),
        "options": inputs["options"],
        "settings": {"threads": 1},
    }


def bands_by_hand(crystal: Atoms, matrix: np.ndarray, distance: float, points: np.ndarray) -> np.ndarray:
    """Frequencies (THz) by phonopy with forces of metatomic's ASE calculator, of a crystal with one atom."""
    import torch
    from metatomic_ase import MetatomicCalculator
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    from aiida_pet.engine.model.pet import load_model

    model = load_model(*small_model())
    calculator = MetatomicCalculator(model.to(torch.float64).export(), device="cpu")
    cell = PhonopyAtoms(numbers=crystal.numbers, cell=crystal.cell[:], scaled_positions=[[0, 0, 0]])
    hand = Phonopy(cell, matrix, primitive_matrix="P")
    hand.generate_displacements(distance=distance, is_plusminus=True)
    forces = []
    for moved in hand.supercells_with_displacements:
        atoms = Atoms(moved.numbers, positions=moved.positions, cell=moved.cell, pbc=True)
        atoms.calc = calculator
        forces.append(atoms.get_forces())
    hand.forces = forces
    hand.produce_force_constants()
    hand.symmetrize_force_constants()
    return hand.run_qpoints(points).frequencies


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_engine_gives_bands_of_molybdenum_and_lets_fcc_tungsten_fall(
    engine_inputs: dict[str, Any],
) -> None:
    """Mo as phonopy driven by hand has it; fcc W, a saddle, leaves its group along its softest mode and ends lower."""
    crystals = [("Mo", bulk("Mo", "bcc", a=3.17)), ("W", bulk("W", "fcc", a=4.02))]
    structures = StructureSetData.from_iterator(crystals).store()
    parameters = {"min_image": 5.5, "fmax": 0.01, "stress_max": 0.1, "mesh": 15.0, "displacement": 0.02}
    _, node = run_get_node(
        PhononWorkChain, structures=structures, parameters=parameters, follow_modes=True, **engine_inputs
    )
    assert node.is_finished_ok, node.exit_message

    results = node.outputs.results
    bands = phonon_bands(results, orm.Str("Mo"), orm.Dict({"spacing": 0.03}))
    matrix = np.round(results.column("supercell_matrix")[0]).astype(int)
    expected = bands_by_hand(results.get_ase("Mo"), matrix, 0.02, bands.get_kpoints())
    np.testing.assert_allclose(bands.get_bands(), expected, rtol=0, atol=0.01)  # THz
    assert bands.base.attributes.get("path_spacegroup") == 229
    assert {label for _, label in bands.labels} == {"GAMMA", "H", "N", "P"}

    followed, landed = node.outputs.followed, node.outputs.followed_structures
    assert followed.ids.tolist() == ["W"]
    assert followed.column("status")[0] == "converged"
    assert followed.column("mode_frequency")[0] < -0.5
    assert followed.column("energy_gained")[0] > 0.01
    energies = results.column("energy")[1] - landed.column("energy")[0] / len(landed.get_ase("W"))
    assert followed.column("energy_gained")[0] == pytest.approx(energies, abs=1e-12)
    assert followed.column("initial_spacegroup_0_01")[0] == 225
    assert followed.column("spacegroup_0_01")[0] not in (0, 225)
    assert "225 -> " in followed.column("symmetry_warning")[0]
