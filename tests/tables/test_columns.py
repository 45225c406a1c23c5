"""The catalogue of columns: its entries are whole, and it answers what the lists before it answered."""

from __future__ import annotations

from collections import Counter

import pytest

from aiida_pet.job.parameters import RelaxParameters
from aiida_pet.job.phonon_parameters import PhononParameters
from aiida_pet.tables.columns import (
    COLUMNS,
    Section,
    Source,
    find_columns,
    first_look,
    scalar_names,
    section_of,
    symprec_label,
    unit_of,
)
from aiida_pet.tables.warnings import Warned, codes_in, counted, joined
from aiida_pet.workchains.stages import check_stages


def test_every_column_says_in_a_sentence_what_it_means() -> None:
    for column in COLUMNS:
        assert column.meaning[0].isupper() or column.meaning[0] == "`" or column.name == "hull_status", (
            column.name
        )
        assert column.meaning.endswith("."), column.name


def test_no_source_writes_two_columns_of_one_name() -> None:
    pairs = Counter((source, column.name) for column in COLUMNS for source in column.sources)
    assert [pair for pair, times in pairs.items() if times > 1] == []


@pytest.mark.parametrize(
    ("condition", "stage", "parameters"),
    [
        ("rotational_energy_std < 0.01", "relax", {"averaging": "lebedev-3"}),
        ("uncertainty < 0.05", "relax", {"outputs": ["uncertainty"]}),
        ("invariance < 0.05", "relax", {"outputs": ["invariance"]}),
        ("net_force < 0.05", "relax", {"forces": "direct"}),
        ("check_frequency_change < 0.1", "phonons", {"supercell_check": 10.0}),
        ("enthalpy < 0", "relax", {"pressure": 10.0}),
    ],
)
def test_condition_may_name_a_column_that_its_parameters_bring(
    condition: str, stage: str, parameters: dict[str, object]
) -> None:
    assert check_stages({stage: {"parameters": parameters, "keep": condition}}, []) is None
    refused = check_stages({stage: {"parameters": {}, "keep": condition}}, [])
    assert refused is not None
    assert condition.split(maxsplit=1)[0] in refused


def test_families_have_one_name_per_tolerance() -> None:
    names = scalar_names(Source.RELAX, RelaxParameters(symprecs=(0.001, 0.1)), (0.001, 0.1))
    assert [name for name in names if name.startswith("spacegroup_")] == [
        "spacegroup_0_001",
        "spacegroup_0_1",
    ]
    assert unit_of("initial_volume") == "A^3"
    assert section_of("free_spacegroup_0_05") is Section.SYMMETRY
    assert find_columns("spacegroup_of_my_own") == ()
    assert symprec_label(0.01) == "0_01"


def test_no_two_tolerances_share_a_label() -> None:
    tolerances = [1.0, 2.5, 0.1, 0.3, 0.1 + 0.2, 1e-5, 1e-10, 5e-11, 4e-11, 1e-11, 1e-15, 1.234567890123]
    labels = [symprec_label(symprec) for symprec in tolerances]
    assert len(set(labels)) == len(tolerances)
    assert [float(label.replace("_", ".")) for label in labels] == tolerances
    assert all(find_columns(f"spacegroup_{label}") for label in labels)
    assert labels[:3] == ["1", "2_5", "0_1"]


def test_what_is_not_relaxed_first_has_no_start() -> None:
    names = scalar_names(Source.PHONONS, PhononParameters(relax_first=False), (0.01,))
    assert "n_steps" not in names
    assert "spacegroup_0_01" in names


def test_section_of_a_name_with_two_meanings_depends_on_the_table() -> None:
    assert section_of("net_force", ["n_steps", "net_force"]) is Section.RELAXATION
    assert section_of("net_force", ["n_steps", "n_displacements", "net_force"]) is Section.PHONONS
    assert section_of("input_energy") is Section.OTHER


def test_first_look_follows_what_the_table_is_of() -> None:
    assert "min_frequency" in first_look(["formula", "n_steps", "n_displacements", "min_frequency"])
    assert first_look(["series", "colour"]) == []


def test_codes_are_joined_once_each_and_counted_by_row() -> None:
    text = joined([Warned.ROUGH, Warned.VOLUME_CHANGE, "rough"])
    assert text == "rough volume_change"
    assert codes_in(text) == ["rough", "volume_change"]
    assert counted([text, "rough", ""]) == {"rough": 2, "volume_change": 1}
    assert all(code.meaning.endswith(".") for code in Warned)
