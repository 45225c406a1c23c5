"""Finds the forces that conductivities were computed from."""

from __future__ import annotations

from aiida.orm import Node, ProcessNode

OUTPUT = "forces"


def forces_behind(node: Node) -> int | None:
    """Return the pk of the forces on displaced supercells of the launch that ``node`` is, or is a result of.

    :return: None if ``node`` has nothing to do with a launch that has forces, or is the forces themselves.

    .. code-block:: python

        from aiida_pet.campaigns.forces import forces_behind
        from aiida_pet.campaigns.nodes import load

        print(forces_behind(load(9)))
    """
    launches = [node] if isinstance(node, ProcessNode) else node.base.links.get_incoming().all_nodes()
    while launches:
        launch = launches.pop()
        if not isinstance(launch, ProcessNode):
            continue
        if OUTPUT in launch.outputs:
            pk: int | None = launch.outputs[OUTPUT].pk
            return None if pk == node.pk else pk
        if launch.caller is not None:
            launches.append(launch.caller)
    return None
