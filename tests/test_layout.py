"""A test is found by the name of what it tests: ``aiida_pet/io/poscar.py`` -> ``tests/io/test_poscar.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent

ELSEWHERE = {
    "analysis/hull/test_above_hull": "lower_hull phases",
    "analysis/hull/test_entry_levels": "levels_of_theory",
    "analysis/hull/test_hull_under_pressure": "competing",
    "analysis/hull/test_references": "reference_entries reference_files",
    "calculations/test_base": "relax static elastic eos qha phonons conductivity md validation",
    "calculations/test_band_paths": "harmonic_parameters",
    "calculations/test_hull": "theory",
    "campaigns/test_library": "agreement errors launches nodes report results sheets",
    "cli/test_data": "geometry",
    "cli/test_launch": "launching targets",
    "cli/test_output": "groups",
    "cli/test_launch_screen": "launch_hull references",
    "cli/test_main": "errors",
    "cli/test_params": "choices",
    "cli/test_setup": "session",
    "cli/test_status": "repair",
    "crystals/symmetry/test_spacegroup": "operations search",
    "crystals/phonons/test_force_constants": "displacements",
    "data/test_merging": "array_files segments",
    "data/test_table": "description",
    "engine/batch/test_neighbors": "batch evaluation frames",
    "engine/dynamics/test_motion": "velocities",
    "engine/model/test_chunks": "saved_bytes",
    "engine/model/test_metatomic": "metatomic_systems",
    "engine/model/test_heads": "metatrain_pet",
    "engine/model/test_kokkos": "kokkos_files",
    "engine/model/test_pet": "base",
    "engine/model/plain/test_pet": "cutoffs geometry layers network weights",
    "engine/symmetry/test_averaging": "rotations_of_rows",
    "engine/tasks/test_row_state": "cell_filter optimizers",
    "engine/tasks/test_expansion": "runner",
    "figures/test_bands": "dos frequency source thermal",
    "figures/test_expansion": "conductivity equation_of_state",
    "plotting/test_plots": "course elastic files heat hull phonons sources style symmetry values",
    "io/test_ase_formats": "ase_database",
    "io/test_cif": "cif_symmetry cif_text",
    "io/test_extxyz": "comment_line",
    "io/test_json_forms": "input_results json_crystals json_frames json_records",
    "io/test_phonopy_yaml": "phonopy_displacements phonopy_writer",
    "io/test_pymatgen_json": "pymatgen_structures",
    "io/test_readers": "column_collector crystal equal_crystals format_readers left_out sources symbols",
    "io/test_writers": "ase_db_writer cif_writer format_writers extxyz_writer own_json own_record poscar_writer",
    "job/test_parameters": "choices conductivity_parameters elastic_parameters phonon_parameters volume_parameters",
    "report/test_document": "asked choices citations costs details funnels hulls overview parities periodic "
    "rows_table source symmetry times values",
    "report/test_page": "writing",
    "tables/test_columns": "column missing_columns warnings when",
    "tables/test_filter": "condition_values known_values",
    "tables/test_missing_flags": "frame",
    "testing/test_fixtures": "crystals nodes stand_in_engine",
    "training/test_training_job": "checkpoints child curve errors evaluate finish folder run",
    "training/test_variants": "start",
    "training/test_training_options": "options parameters presets scales",
    "training/test_label_checks": "label_pairs label_units",
    "training/test_prepare": "absurd_sets same_frames",
    "workchains/test_batch": "inputs jobs",
    "workchains/test_lane": "cleaning",
    "workchains/test_relax": "crystals",
    "workchains/test_eos": "qha",
    "workchains/test_protocols": "elastic",
    "workchains/test_screening": "relaxed_before stages stage_checks",
    "workchains/test_taken_over_rows": "done",
    "workchains/test_train": "train_ports",
}
"""Test of several modules of its package -> those that have no test file of their own name."""

IN_ANOTHER_PACKAGE = {
    "campaigns.forces": "cli/test_data",
    "job.given_columns": "io/test_given_values",
    "campaigns.trajectories": "parsers/test_md",
    "data.trajectories": "parsers/test_md",
    "engine.dynamics.making": "engine/tasks/test_md",
    "engine.dynamics.results": "engine/tasks/test_md",
    "calculations.engine_settings": "calculations/test_base",
    "calculations.exit_codes": "parsers/test_batch",
    "campaigns.model_origin": "workchains/test_train",
    "campaigns.training": "workchains/test_train",
    "cli.model_export": "workchains/test_train",
    "cli.resume_training": "workchains/test_train",
    "cli.training_status": "workchains/test_train",
    "calculations.node_checks": "cli/test_doctor",
    "calculations.probe": "cli/test_doctor",
    "calculations.screening": "workchains/test_screening",
    "calculations.staging": "workchains/test_staging",
    "calculations.train": "workchains/test_train",
    "calculations.train_codes": "workchains/test_train",
    "campaigns.advice": "cli/test_status",
    "campaigns.row_texts": "cli/test_status",
    "campaigns.campaign_file": "cli/test_campaign_files",
    "campaigns.deletion": "cli/test_listing",
    "campaigns.export": "cli/test_campaign_files",
    "campaigns.listing": "cli/test_listing",
    "campaigns.changes": "cli/test_resume",
    "campaigns.estimates": "cli/test_estimate",
    "campaigns.geometry": "cli/test_show",
    "campaigns.labels": "cli/test_launch",
    "campaigns.phases": "cli/test_launch_screen",
    "campaigns.plans": "cli/test_launch",
    "campaigns.references": "cli/test_metrics",
    "campaigns.stopping": "cli/test_stop",
    "computers.checks": "cli/test_setup_computer",
    "computers.computer_file": "cli/test_setup_computer",
    "computers.daemon": "cli/test_setup",
    "computers.file_setup": "cli/test_setup_computer",
    "computers.health": "cli/test_doctor",
    "computers.interpreter": "cli/test_doctor",
    "computers.kinds": "cli/test_setup_computer",
    "computers.local_setup": "cli/test_setup",
    "computers.pbspro": "computers/test_resources",
    "computers.quantities": "computers/test_resources",
    "campaigns.lines": "cli/test_status",
    "cli.report": "report/test_document",
    "campaigns.live": "cli/test_live",
    "campaigns.stages": "cli/test_status",
    "computers.services": "cli/test_services",
    "computers.steps": "cli/test_setup",
    "crystals.lattice_reduction": "crystals/test_validity",
    "crystals.phonons.stored": "engine/tasks/test_stored_phonons",
    "crystals.vacuum": "crystals/symmetry/test_groups",
    "data.imports": "cli/test_data",
    "data.model_nodes": "cli/test_model",
    "data.partial": "workchains/test_hull",
    "engine.probe": "cli/test_doctor",
    "io.row_formats": "cli/test_results",
    "job.folder": "engine/test_run",
    "job.input_columns": "calculations/test_records",
    "job.stages": "docs/test_dev_pages",
    "job.state_file": "engine/test_resume",
    "job.stop_signals": "engine/test_run",
    "job.suitability": "engine/tasks/test_relax_slabs",
    "job.tasks": "docs/test_dev_pages",
    "names": "test_layers",
    "parsers.ase": "calculations/test_ase",
    "parsers.train": "workchains/test_train",
    "plugins": "docs/test_dev_pages",
    "tables.closest": "cli/test_show",
    "testing.other_engines": "engine/model/test_other_engine",
    "tables.crystals": "data/test_structures",
    "tables.filling": "data/test_merging",
    "tables.fixed_atoms": "engine/tasks/test_fixed_atoms",
    "tables.page": "cli/test_columns",
    "tables.row_warnings": "engine/test_columns",
    "tables.table": "data/test_table",
    "units": "engine/tasks/test_relax",
    "workchains.protocols.file": "workchains/test_protocols",
    "workchains.protocols.page": "docs/test_site",
    "workchains.protocols.mixin": "workchains/test_protocols",
    "workchains.protocols.train": "workchains/test_train",
    "workchains.stopping": "cli/test_stop",
}
"""Module -> test of another package that shows what it does, for it takes what lies above the module."""

ENTRIES = ("tables.catalogue.", "tables.arrays")  # entries of a table, which its readers test, and types


def modules() -> dict[str, Path]:
    """Return module (without `aiida_pet.`) -> path of the test that has its name."""
    found = {}
    for package, base in (("aiida_pet", ROOT / "aiida_pet"), ("workchains", ROOT)):
        for path in (ROOT / package).rglob("*.py"):
            if not path.name.startswith("__"):
                parts = path.relative_to(base).with_suffix("").parts
                found[".".join(parts)] = TESTS.joinpath(*parts[:-1], f"test_{parts[-1]}.py")
    return found


def exceptions() -> dict[str, str]:
    """Return module -> its test, of both lists."""
    near = {
        ".".join((*Path(test).parts[:-1], name)): test
        for test, names in ELSEWHERE.items()
        for name in names.split()
    }
    assert not set(near) & set(IN_ANOTHER_PACKAGE)
    return near | IN_ANOTHER_PACKAGE


def test_every_module_has_a_test_of_its_name_or_says_where_it_is_tested():
    lost = [
        name
        for name, test in modules().items()
        if not test.exists() and name not in exceptions() and not name.startswith(ENTRIES)
    ]
    assert lost == []


def test_no_exception_is_left_that_is_none():
    there = modules()
    assert [name for name in exceptions() if name not in there] == []
    assert [name for name in exceptions() if there[name].exists()] == []


@pytest.mark.parametrize(("module", "test"), exceptions().items())
def test_the_test_of_an_exception_exists(module: str, test: str):
    assert (TESTS / f"{test}.py").exists(), module


def test_folders_of_tests_are_packages():
    own = {"benchmarks", "docs", "examples", "integration", "support"}
    for path in TESTS.rglob("test_*.py"):
        parts = path.parent.relative_to(TESTS).parts
        if parts and parts[0] not in own:
            package = ROOT if parts[0] == "workchains" else ROOT / "aiida_pet"
            assert package.joinpath(*parts).is_dir(), path
