"""Relax one crystal: ``verdi run examples/relax_one.py`` after ``aiida-pet setup``.

A StructureData goes in and, beside the row of results, a StructureData comes out.
"""

from __future__ import annotations

from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory, WorkflowFactory
from ase.build import bulk

from aiida_pet import models


def main() -> None:
    crystal = orm.StructureData(ase=bulk("Mo", "bcc", a=3.3))  # 5 % too large
    model = DataFactory("pet.model").from_file(models.embedded_path())
    builder = WorkflowFactory("pet.relax").get_builder_from_protocol(
        code=orm.load_code("pet-engine@localhost"), model=model, structures=crystal, protocol="moderate"
    )
    outputs, node = run_get_node(builder)
    if not node.is_finished_ok:
        raise SystemExit(f"process {node.pk} ended with {node.exit_status}: {node.exit_message}")
    row = outputs["results"].row(outputs["results"].ids[0])
    relaxed = outputs["output_structure"]
    print(f"process {node.pk}: {row['status']} after {row['n_steps']} steps")
    print(f"energy            {row['energy']:.4f} eV")
    print(f"lattice constant  {(2 * relaxed.get_cell_volume()) ** (1 / 3):.4f} A")


if __name__ == "__main__":
    main()
