"""Reads files that were damaged at random: each must end in crystals, or in an error that names the file.

    python scripts/fuzz_readers.py --count 5000 --format cif --seed 1

Any other exception, a file that takes more than 5 s, and memory of more than 1 GiB beyond the interpreter with the
reader imported, are faults: they are printed, the file is kept in the folder of ``--keep``, and the exit status is 1.
A format is a function in :data:`FORMATS` that writes sound files; the damage is made here.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # others reserve more addresses than the limit

import numpy as np
import pandas as pd
from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixScaled
from ase.db import connect
from ase.io import write
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.readers import DuplicateImportError, ReadOptions, read_structures
from aiida_pet.io.writers import write_table
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged

SECONDS = 5
MEMORY = 2**30
WORDS = [
    b"nan", b"inf", b"-1", b"0", b"1e400", b"99999999999", b"?", b".", b"=", b'"', b"'", b"[", b"}", b";", b"#", b"_",
    b"loop_", b"data_x", b"Lattice=", b"Properties=", b"pbc=", b"T", b"Direct", b"Selective dynamics", b"x,y,z",
    b"\xff\xfe", b"\x00", b"\\", b"null", b"{}", b"Xx", b"1/0", b"-x+1/2", "\u7d50\u6676".encode(), b"\r", b"\n",
]  # fmt: skip


class HangError(BaseException):
    """Raised by the alarm; no reader may catch it as an error of its own."""


# -- sound files -----------------------------------------------------------------------------------------------------


def crystals() -> list[Atoms]:
    """Return crystals with ids, results, fixed atoms and columns."""
    made = [bulk("W", "bcc", a=3.16), bulk("NaCl", "rocksalt", a=5.64), fcc100("Cu", (1, 1, 3), vacuum=5)]
    made[1].calc = SinglePointCalculator(
        made[1], energy=-1.5, forces=np.zeros((2, 3)), stress=np.arange(6) / 100
    )
    made[2].set_constraint(FixAtoms([0]))
    for number, atoms in enumerate(made):
        atoms.info = {"id": f"c-{number}", "e_form": 0.1 * number, "note": "two words", "metal": number == 0}
    return made


def extxyz_files(folder: Path) -> list[Path]:
    """Write extxyz files, by ASE and by hand."""
    write(folder / "set.xyz", crystals(), format="extxyz")
    (folder / "hand.xyz").write_text(
        '2\nlattice="3 0 0 0 3 0 0 0 3" PBC="T T F" properties=species:S:1:pos:R:3:mtt::aux::q:R:1:move_mask:L:1 '
        'id=007 stress=[1,2,3,4,5,6] virial="1 0 0 0 1 0 0 0 1" note="it\'s \\"ok\\"" json="_JSON {\\"a\\": 1}" flag\n'
        "D 0 0 0 1.5 T\nMo 1.5 1.5 1.5 -1e3 F\n1\nplain text\nH 0 0 0\n"
    )
    return [folder / "set.xyz", folder / "hand.xyz"]


def poscar_files(folder: Path) -> list[Path]:
    """Write a POSCAR with flags and velocities, several in one file, and an XDATCAR."""
    slab = fcc100("Cu", (1, 1, 3), vacuum=5)
    slab.set_constraint(FixScaled([0], mask=[True, False, True]))
    write(folder / "POSCAR", slab, format="vasp")
    one = (folder / "POSCAR").read_text()
    (folder / "all.vasp").write_text(
        "".join("EA{} x\n{}".format(i, one.split("\n", 1)[1]) for i in range(3)) + "\n" + " 0.1 0 0\n" * 3
    )
    head = "W\n1\n 3 0 0\n 0 3 0\n 0 0 3\nW\n2\n"
    frames = "".join(f"Direct configuration= {i:5d}\n 0 0 0\n .5 .5 .5\n" for i in range(1, 4))
    (folder / "XDATCAR").write_text(head + frames)
    return [folder / "POSCAR", folder / "all.vasp", folder / "XDATCAR"]


def cif_files(folder: Path) -> list[Path]:
    """Write CIFs with operations, with a Hall symbol, and with several blocks."""
    structure = Structure.from_spacegroup(
        "P6_3/mmc", Lattice.hexagonal(2.8, 4.5), ["W"], [[1 / 3, 2 / 3, 0.25]]
    )
    CifWriter(structure, symprec=0.01).write_file(folder / "hcp.cif")
    write(folder / "several.cif", crystals()[:2], format="cif")
    (folder / "hall.cif").write_text(
        "data_x\n_pet_id 'it''s'\n_cell_length_a 3.15(2)\n_cell_length_b 3.15\n_cell_length_c 3.15\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
        "_symmetry_space_group_name_Hall '-I 4 2 3'\n_note\n;\ntext\n;\n"
        "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
        "Mo1 0 0 0 ?\n"
    )
    return [folder / "hcp.cif", folder / "several.cif", folder / "hall.cif"]


def ase_database_files(folder: Path) -> list[Path]:
    """Write an ASE database in both of its forms."""
    for name in ("set.db", "ase.json"):
        with warnings.catch_warnings(), connect(folder / name) as database:
            warnings.simplefilter("ignore")
            for atoms in crystals():
                database.write(atoms, name=atoms.info["id"], gap=0.5, data={"history": [1, 2]})
    return [folder / "set.db", folder / "ase.json"]


def records() -> list[dict[str, Any]]:
    """Return records of pymatgen structures, one of them with selective dynamics."""
    made = []
    for number, symbol in enumerate(("W", "Mo", "Cu")):
        flags = {"selective_dynamics": [[True, False, True]] * 2}
        structure = Structure(
            Lattice.cubic(3.1 + number / 10),
            [symbol, "W"],
            [[0, 0, 0], [0.5, 0.5, 0.5]],
            site_properties=flags,
        )
        made.append(
            {"material_id": f"mp-{number}", "structure": structure.as_dict(), "gap": 0.5, "n": 10**30}
        )
    return made


def json_files(folder: Path) -> list[Path]:
    """Write JSON as pandas, pymatgen, Alexandria, MPtrj, OPTIMADE, JARVIS and this program ship it."""
    made = records()
    entries = [{"energy": -1.0, "entry_id": None, "data": {"mat_id": r["material_id"]}} | r for r in made]
    optimade = [
        {
            "id": str(number),
            "type": "structures",
            "attributes": {
                "lattice_vectors": np.eye(3).tolist(),
                "cartesian_site_positions": [[0, 0, 0]],
                "species_at_sites": ["W"],
                "species": [{"name": "W", "chemical_symbols": ["W"], "concentration": [1.0]}],
                "dimension_types": [1, 1, 0],
            },
        }
        for number in range(3)
    ]
    jarvis = {"lattice_mat": np.eye(3).tolist(), "coords": [[0, 0, 0]], "elements": ["W"], "cartesian": False}
    frame = pd.DataFrame(made)
    contents = {
        "records": made,
        "alexandria": {"entries": entries},
        "mptrj": {"mp-1": {f"mp-1-{number}": r for number, r in enumerate(made)}},
        "optimade": {"meta": {}, "data": optimade},
        "jarvis": [{"jid": "JVASP-1", "atoms": jarvis, "gap": 1.5}],
        "thermo": [
            {
                "material_id": "mp-1",
                "energy_type": "GGA",
                "entries": {"GGA": entries[0], "R2SCAN": entries[1]},
            }
        ],
        "columns": json.loads(frame.to_json()),
        "split": json.loads(frame.to_json(orient="split")),
        "text": [{"id": "a", "cif": str(CifWriter(Structure.from_dict(made[0]["structure"])))}],
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    write_table(StructureTable.from_ase((a.info["id"], a) for a in crystals()), folder / "own.json")
    return [*(folder / f"{name}.json" for name in contents), folder / "own.json"]


def json_lines_files(folder: Path) -> list[Path]:
    """Write records and OPTIMADE's header as JSON lines."""
    lines = [{"x-optimade": {"meta": {}}}, *records()]
    (folder / "set.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return [folder / "set.jsonl"]


def own_files(folder: Path) -> list[Path]:
    """Write what this program writes, with columns of all kinds."""
    table = StructureTable.from_ase((a.info["id"], a) for a in crystals())
    table.set_column("energy", [-1.0, np.nan, 2.0], "eV")
    table.set_column("free_energy", np.arange(6.0).reshape(3, 2), "kJ/mol")
    table.set_column("label", ["", "0031", "x y"])
    table.atom_columns["fixed_scaled"] = np.ones((len(table.numbers), 3), dtype=bool)
    table.atom_columns["born"] = np.zeros((len(table.numbers), 3, 3))
    table.ragged["constants"] = Ragged.of([np.ones((2, 3)), None, np.ones((1, 3))])
    paths = [folder / name for name in ("own.xyz", "own.json", "own.db", "own.vasp", "own.cif")]
    for path in paths:
        write_table(table, path)
    return paths


def csv_files(folder: Path) -> list[Path]:
    """Write csv with texts of structures, and a table of rows."""
    made = [Structure.from_dict(record["structure"]) for record in records()]
    frame = pd.DataFrame(
        {"id": ["NA", "0031", "c"], "cif": [str(CifWriter(s)) for s in made], "gap": [1, None, 2]}
    )
    frame.to_csv(folder / "cif.csv")
    frame.assign(cif=[s.to_json() for s in made]).to_csv(folder / "json.csv", index=False)
    frame.drop(columns="cif").to_csv(folder / "rows.csv", index=False)
    return [folder / "cif.csv", folder / "json.csv", folder / "rows.csv"]


def parquet_files(folder: Path) -> list[Path]:
    """Write parquet with texts of structures."""
    made = [Structure.from_dict(record["structure"]) for record in records()]
    frame = pd.DataFrame(
        {"id": ["NA", "0031", "c"], "cif": [str(CifWriter(s)) for s in made], "gap": [1, None, 2]}
    )
    frame.to_parquet(folder / "cif.parquet")
    return [folder / "cif.parquet"]


FORMATS: dict[str, Callable[[Path], list[Path]]] = {
    "extxyz": extxyz_files,
    "poscar": poscar_files,
    "cif": cif_files,
    "ase-db": ase_database_files,
    "json": json_files,
    "jsonl": json_lines_files,
    "own": own_files,
    "csv": csv_files,
    "parquet": parquet_files,
}
"""Name of a format -> function that writes sound files of it into a folder and returns their paths."""


# -- damage ----------------------------------------------------------------------------------------------------------


def damaged(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return ``content`` after one to four damages."""
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(_DAMAGES)(content, others, rng)
    return content


def _flip(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 20))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _lines(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Delete, repeat or move lines."""
    lines = content.split(b"\n")
    place, count = rng.randrange(len(lines)), rng.randint(1, 3)
    part = lines[place : place + count]
    kind = rng.randrange(3)
    if kind == 0:
        del lines[place : place + count]
    elif kind == 1:
        lines[place:place] = part * rng.choice((1, 1, 2, 50))
    else:
        del lines[place : place + count]
        target = rng.randrange(len(lines) + 1)
        lines[target:target] = part
    return b"\n".join(lines)


def _words(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Put another word in the place of one, of this file, of another, or of :data:`WORDS`."""
    words = content.split(b" ")
    source = rng.choice((words, rng.choice(others).split(), WORDS, WORDS)) or WORDS
    words[rng.randrange(len(words))] = rng.choice(source)
    return b" ".join(words)


def _insert(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(WORDS) + content[place:]


def _splice(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    other = rng.choice(others)
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


_DAMAGES = (_flip, _cut, _lines, _lines, _words, _words, _insert, _splice)


# -- runs ------------------------------------------------------------------------------------------------------------


def outcome_of(path: Path, skip_invalid: bool) -> str:
    """Return how reading ``path`` ends: ``read``, ``refused``, or ``fault: ...``."""
    signal.signal(signal.SIGALRM, _hang)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_structures(path, ReadOptions(skip_invalid=skip_invalid)).summary()
    except (StructureFileError, DuplicateImportError) as error:
        return "refused" if path.name in str(error) else f"fault: the file is not named: {error}"
    except HangError:
        return f"fault: more than {SECONDS} s"
    except BaseException:
        return f"fault: {traceback.format_exc()}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read"


def _hang(signum: int, frame: FrameType | None) -> None:
    raise HangError


def limit_memory() -> None:
    """Let this process take :data:`MEMORY` more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def fuzz(name: str, count: int, seed: int, keep: Path | None) -> int:
    """Read ``count`` damaged files of format ``name``, print how they ended, and return the number of faults."""
    rng = random.Random(f"{name}-{seed}")
    ends: Counter[str] = Counter()
    faults = 0
    with tempfile.TemporaryDirectory() as temporary:
        sound = FORMATS[name](Path(temporary))
        contents = [path.read_bytes() for path in sound]
        for number in range(count):
            place = rng.randrange(len(sound))
            path = Path(temporary) / f"damaged-{number}{sound[place].suffix}"
            if not path.suffix:
                path = path.with_name(f"{sound[place].name}_{number}")
            path.write_bytes(damaged(contents[place], contents, rng))
            end = outcome_of(path, skip_invalid=rng.random() < 0.7)
            ends[end.split(":", maxsplit=1)[0]] += 1
            if end.startswith("fault"):
                faults += 1
                kept = keep / path.name if keep is not None else path
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, kept)
                sys.stdout.write(f"{name} {number} ({kept}): {end}\n")
            path.unlink(missing_ok=True)
    told = ", ".join(f"{end} {found}" for end, found in sorted(ends.items()))
    sys.stdout.write(f"{name}: {count} files: {told}\n")
    return faults


def main() -> int:
    """Run what the options ask for; see the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000, help="damaged files per format")
    parser.add_argument("--format", choices=sorted(FORMATS), action="append", help="instead of all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for files that were faults")
    options = parser.parse_args()
    limit_memory()
    faults = sum(fuzz(name, options.count, options.seed, options.keep) for name in options.format or FORMATS)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
