"""Relax a crystal, then compute its phonons and its elastic constants: a graph of WorkChains of aiida-pet.

``verdi run examples/workgraph.py`` after ``aiida-pet setup`` and ``pip install 'aiida-pet[workgraph]'``.
aiida-workgraph makes an output of one WorkChain the input of the next, so that no WorkChain has to be written for it.
"""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.plugins import DataFactory, WorkflowFactory
from aiida_workgraph import WorkGraph
from ase.build import bulk

from aiida_pet import models


def relax_then_properties(crystal: orm.StructureData, **site: Any) -> WorkGraph:
    """Return a graph that relaxes ``crystal`` and passes the relaxed crystal to two further WorkChains.

    :param site: ``code`` and ``model`` of every WorkChain.
    """
    graph = WorkGraph("relaxed, then phonons and elastic constants")

    def add(kind: str) -> Any:
        # A builder of the protocol has every input; `add_task` takes them over.
        builder = WorkflowFactory(f"pet.{kind}").get_builder_from_protocol(
            structures=crystal, protocol="fast", **site
        )
        return graph.add_task(builder, name=kind)

    relax, phonons, elastic = add("relax"), add("phonons"), add("elastic")
    # These links replace the crystal of the builders. The two tasks do not wait for each other.
    graph.add_link(relax.outputs.output_structure, phonons.inputs.structure)
    graph.add_link(relax.outputs.output_structure, elastic.inputs.structure)
    return graph


def main() -> None:
    crystal = orm.StructureData(ase=bulk("Mo", "bcc", a=3.3))  # 5 % too large
    model = DataFactory("pet.model").from_file(models.embedded_path())
    graph = relax_then_properties(crystal, code=orm.load_code("pet-engine@localhost"), model=model)
    graph.run()
    process = graph.process
    if not process.is_finished_ok:
        raise SystemExit(f"process {process.pk} ended with {process.exit_status}: {process.exit_message}")
    relaxed, phonons, elastic = (
        graph.tasks[name].process.outputs.output_parameters.get_dict()
        for name in ("relax", "phonons", "elastic")
    )
    print(f"process {process.pk}: {', '.join(task.name for task in graph.tasks if task.process)}")
    print(f"relaxation         {relaxed['n_steps']} steps, {relaxed['volume']:.3f} A^3")
    print(f"highest frequency  {phonons['max_frequency']:.2f} THz")
    print(f"bulk modulus       {elastic['bulk_modulus']:.0f} GPa")


if __name__ == "__main__":
    main()
