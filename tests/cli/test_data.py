"""`aiida-pet data`: every option changes what comes out."""

import json
import re
import shlex

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from ase.io import iread
from ase.io import read as ase_read

from aiida_pet.campaigns.nodes import load
from aiida_pet.data.structures import StructureSetData


@pytest.fixture
def alloys(read, alloys_file):
    """The pk of the imported alloys."""
    return read("data", "import", alloys_file)["pk"]


@pytest.fixture
def broken_file(tmp_path):
    path = tmp_path / "broken.xyz"
    good = '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 id={} pbc="T T T"\nW 0 0 0\n'
    path.write_text(good.format("a") + "2\nid=b\nW 0 0\n" + good.format("c"))
    return path


def test_import_says_what_it_made(invoke, alloys_file, tmp_path):
    # content that no other test has
    alloys_file.write_text(alloys_file.read_text().replace("series=odd", f"series={tmp_path.name}"))
    output = invoke("data", "import", alloys_file, "--label", "six alloys").output
    node = orm.QueryBuilder().append(StructureSetData, filters={"label": "six alloys"}).first(flat=True)
    assert output.splitlines()[0] == f"imported 6 crystals of 42 atoms (Mo W) as <{node.pk}> 'six alloys'"
    assert node.ids.tolist() == [f"alloy-{i}" for i in range(6)]


def test_import_json_holds_pk_rows_elements_and_problems(read, alloys_file):
    document = read("data", "import", alloys_file)
    assert document["n_rows"] == 6
    assert document["elements"] == ["Mo", "W"]
    assert document["problems"] == []
    assert orm.load_node(document["pk"]).uuid == document["uuid"]


def test_import_remembers_its_files(alloys, alloys_file):
    *_, file = orm.load_node(alloys).base.extras.get("imported_from")  # others imported the same
    assert file["path"] == str(alloys_file)
    assert len(file["sha256"]) == 64


def test_import_of_a_broken_structure_is_refused_with_file_and_id(invoke, broken_file):
    output = invoke("data", "import", broken_file, status=1).output
    assert output.startswith(f"Error: {broken_file}: structure 'b'")


def test_skip_invalid_imports_the_rest_and_says_what_is_missing(read, invoke, broken_file):
    document = read("data", "import", broken_file, "--skip-invalid")
    assert orm.load_node(document["pk"]).ids.tolist() == ["a", "c"]
    assert [problem["id"] for problem in document["problems"]] == ["b"]
    assert "not imported: " in invoke("data", "import", broken_file, "--skip-invalid").output


def test_duplicate_ids_are_refused_with_the_ids(invoke, alloys_file):
    output = invoke("data", "import", alloys_file, alloys_file, status=1).output
    assert "'alloy-0'" in output
    assert "more than once" in output


def test_id_key_names_the_field_that_holds_the_id(read, alloys_file):
    node = orm.load_node(read("data", "import", alloys_file, "--id-key", "")["pk"])
    assert node.ids.tolist() == [f"alloys-{i}" for i in range(6)]


def test_format_reads_a_file_whose_name_tells_none(read, invoke, alloys_file):
    nameless = alloys_file.rename(alloys_file.with_name("crystals"))
    invoke("data", "import", nameless, status=1)
    assert read("data", "import", nameless, "--format", "extxyz")["n_rows"] == 6


def test_structure_key_names_the_structure_of_a_record(read, invoke, alloys, tmp_path):
    path = tmp_path / "records.json"
    invoke("data", "export", alloys, "-o", path)
    records = json.loads(path.read_text())
    for record in records:
        record["relaxed"], record["initial"] = record["structure"], record.pop("structure")
        record["relaxed"] = {**record["relaxed"], "sites": record["relaxed"]["sites"][:1]}
    path.write_text(json.dumps(records))
    assert read("data", "import", path, "--structure-key", "initial")["n_atoms"] == 42
    assert read("data", "import", path, "--structure-key", "relaxed")["n_atoms"] == 6


def test_import_of_a_file_that_is_not_there_names_it(invoke):
    assert "'nothing.xyz' does not exist" in invoke("data", "import", "nothing.xyz", status=2).output


def test_show_lists_columns_with_their_values(invoke, alloys):
    output = invoke("data", "show", alloys).output
    assert "n_rows: 6" in [" ".join(line.split()) for line in output.splitlines()]
    assert "even 3, odd 3" in output


def test_show_of_one_crystal_prints_cell_and_positions(invoke, read, alloys):
    document = read("data", "show", alloys, "alloy-1")
    assert document["structure"]["symbols"] == ["Mo", "W", "W", "W"]
    assert document["structure"]["cell_A"][0] == pytest.approx([6.34, 0, 0])
    output = invoke("data", "show", alloys, "alloy-1").output
    assert "MoW3, cell (A):" in output
    assert "    6.340000    0.000000    0.000000" in output


def test_show_of_an_id_that_is_not_there_names_it(invoke, alloys):
    output = invoke("data", "show", alloys, "alloy-9", status=1).output
    assert "Error: no row 'alloy-9' among the 6" in output
    assert f"`aiida-pet results {alloys} --columns id --limit 0` lists all ids" in output


def test_show_of_another_node_says_what_it_is(invoke, pet_model):
    output = invoke("data", "show", pet_model.pk, status=1).output
    assert f"node {pet_model.pk} is a PetModelData, expected a TableData" in output


@pytest.mark.parametrize("pk", ["999999", "no-such-label", "deadbeef"])
def test_show_of_a_node_that_is_not_there_names_it(invoke, pk):
    assert f"no node with pk, label or uuid '{pk}'" in invoke("data", "show", pk, status=1).output


def test_a_set_can_be_named_by_label_and_uuid(read, alloys_file):
    made = read("data", "import", alloys_file, "--label", "by label")
    assert read("data", "show", "by label")["pk"] == made["pk"]
    assert read("data", "show", made["uuid"])["pk"] == made["pk"]


def test_a_label_goes_before_the_beginning_of_a_uuid(read, alloys_file):
    first = read("data", "import", alloys_file)
    label = next(first["uuid"][:length] for length in range(2, 36) if not first["uuid"][:length].isdecimal())
    second = read("data", "import", alloys_file, "--label", label)
    assert read("data", "show", label)["pk"] == second["pk"]


def test_export_can_be_imported_again(read, invoke, alloys, tmp_path):
    path = tmp_path / "out.xyz.gz"
    assert invoke("data", "export", alloys, "-o", path).output == f"wrote 6 rows to {path}\n"
    again = orm.load_node(read("data", "import", path)["pk"])
    assert again.ids.tolist() == [f"alloy-{i}" for i in range(6)]
    assert again.column("series").tolist() == ["even", "odd"] * 3


def test_export_where_chooses_rows(read, alloys, tmp_path):
    path = tmp_path / "small.xyz"
    document = read("data", "export", alloys, "-o", path, "--where", "n_atoms < 5 and series == even")
    assert document["n_rows"] == 1
    assert [atoms.info["id"] for atoms in iread(path)] == ["alloy-0"]


def test_export_where_nothing_fits_writes_nothing(invoke, alloys, tmp_path):
    path = tmp_path / "none.xyz"
    output = invoke("data", "export", alloys, "-o", path, "--where", "n_atoms > 100", status=1).output
    assert "no row of" in output
    assert not path.exists()


def test_export_format_decides_over_the_name(invoke, alloys, tmp_path):
    invoke("data", "export", alloys, "-o", tmp_path / "cifs", "--format", "cif")
    assert len(ase_read(tmp_path / "cifs" / "alloy-2.cif")) == 6
    table = tmp_path / "table.txt"
    invoke("data", "export", alloys, "-o", table, "--format", "csv")
    assert table.read_text().splitlines()[0] == "id,formula,n_atoms,series"


def test_export_to_a_name_without_format_names_the_formats(invoke, alloys, tmp_path):
    output = invoke("data", "export", alloys, "-o", tmp_path / "out.foo", status=1).output
    assert ".extxyz" in output
    assert ".json" in output


def test_export_replaces_a_file_only_if_told(invoke, alloys, tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("mine")
    assert "exists already: --force" in invoke("data", "export", alloys, "-o", path, status=1).output
    assert path.read_text() == "mine"
    invoke("data", "export", alloys, "-o", path, "--force")
    assert path.read_text().startswith("id,")


def test_export_into_a_folder_that_is_not_there_names_it(invoke, alloys, tmp_path):
    output = invoke("data", "export", alloys, "-o", tmp_path / "no" / "out.csv", status=1).output
    assert f"there is no folder {tmp_path / 'no'}" in output


@pytest.fixture
def heat(read, alloys_file):
    """A launch of conductivities as it ended: its pk, and those of its results and its forces."""
    table = orm.load_node(read("data", "import", alloys_file)["pk"]).to_table()
    launch = orm.WorkChainNode().store()
    found = {"launch": launch.pk}
    for name in ("results", "forces"):
        table.columns[name] = np.zeros(len(table))
        node = StructureSetData.from_table(table).store()
        node.base.links.add_incoming(launch, LinkType.RETURN, name)
        found[name] = node.pk
    launch.set_process_state("finished")
    launch.set_exit_status(0)
    launch.seal()
    return found


@pytest.mark.parametrize("named", ["launch", "results"])
def test_export_that_can_write_nothing_fails_leaves_nothing_and_names_the_forces(
    invoke, heat, tmp_path, named
):
    for path in (tmp_path / "k9", tmp_path / "k9.yaml"):
        output = invoke("data", "export", heat[named], "-o", path, "--format", "phono3py", status=1).output
        assert "nothing was written: phono3py cannot hold any of 6 rows (alloy-0: " in output
        assert f"`aiida-pet data export {heat['forces']} --format phono3py`" in " ".join(output.split())
        assert not path.exists()


def test_export_of_a_set_that_belongs_to_no_launch_names_no_other(invoke, alloys, heat, tmp_path):
    output = invoke("data", "export", alloys, "-o", tmp_path / "k9", "--format", "phono3py", status=1).output
    assert "nothing was written" in output
    assert "aiida-pet data export" not in output
    assert list(tmp_path.glob("k9*")) == []
    # those that are the forces themselves are not their own remedy
    output = invoke("data", "export", heat["forces"], "-o", tmp_path / "k9", "--format", "phono3py", status=1)
    assert "aiida-pet data export" not in output.output


def test_export_keeps_a_folder_that_was_there(invoke, alloys, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    invoke("data", "export", alloys, "-o", folder, "--format", "phonopy", "--force", status=1)
    assert folder.is_dir()


@pytest.mark.parametrize("label", ["odd set", "Ta's", "-x", "plain"])
def test_command_that_is_advised_after_an_import_can_be_typed(invoke, alloys_file, tmp_path, label):
    alloys_file.write_text(alloys_file.read_text().replace("series=odd", f"series={tmp_path.name}"))
    output = invoke("data", "import", alloys_file, f"--label={label}").stderr
    (command,) = re.findall("`(aiida-pet launch relax [^`]+)`", " ".join(output.split()))
    (named,) = shlex.split(command)[3:]
    assert not named.startswith("-")
    assert load(named).label == label
