"""Relax a set of crystals in one batch: ``verdi run examples/relax_set.py`` after ``aiida-pet setup``.

The elements and the B2 compounds of Nb, Mo, Ta and W; prints formation energies from the set's own elements.
"""

from __future__ import annotations

from itertools import combinations

from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory, WorkflowFactory
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, reference_states

from aiida_pet import models

ELEMENTS = ("Nb", "Mo", "Ta", "W")


def crystals() -> list[tuple[str, Atoms]]:
    """Return (id, atoms) of the elements (bcc) and their B2 compounds."""
    a = {symbol: reference_states[atomic_numbers[symbol]]["a"] for symbol in ELEMENTS}
    elements = [(symbol, bulk(symbol, "bcc", a=a[symbol])) for symbol in ELEMENTS]
    compounds = [
        (f"{one}{other}", bulk(one + other, "cesiumchloride", a=(a[one] + a[other]) / 2))
        for one, other in combinations(ELEMENTS, 2)
    ]
    return elements + compounds


def main() -> None:
    structures = DataFactory("pet.structures").from_iterator(crystals())
    model = DataFactory("pet.model").from_file(models.embedded_path())
    builder = WorkflowFactory("pet.relax").get_builder_from_protocol(
        code=orm.load_code("pet-engine@localhost"), model=model, structures=structures, protocol="moderate"
    )
    outputs, node = run_get_node(builder)
    if not node.is_finished_ok:
        raise SystemExit(f"process {node.pk} ended with {node.exit_status}: {node.exit_message}")
    frame = outputs["results"].to_dataframe()
    energies = dict(zip(outputs["results"].ids.tolist(), frame["energy"] / frame["n_atoms"], strict=True))
    print(f"process {node.pk}: {outputs['summary']['statuses']}")
    for one, other in combinations(ELEMENTS, 2):
        formation = energies[one + other] - (energies[one] + energies[other]) / 2
        print(f"B2 {one + other:<4}  formation energy {1e3 * formation:7.1f} meV/atom")


if __name__ == "__main__":
    main()
