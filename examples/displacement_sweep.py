"""Conductivities with several displacements and kinds of forces: the sweep of Table 5 of the PET paper.

``verdi run examples/displacement_sweep.py SET --reference kappas.json.gz --model MODEL`` starts all at once and prints
one table: a line for each displacement and kind of forces. SET is a stored set whose rows carry the supercells and
meshes of the kappa_SRME benchmark (docs/conductivity.md). Kinds of forces: ``C`` conservative; ``NC`` direct, in the
relaxation as well; ``NC from C`` direct, for crystals that were relaxed with conservative forces.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import submit
from aiida.plugins import WorkflowFactory

from aiida_pet.campaigns import metrics

DISPLACEMENTS = (0.03, 0.05, 0.07, 0.1)  # A
C, NC, NC_FROM_C = "C", "NC", "NC from C"
_DIRECT = {"forces": "direct", "stress": "direct"}
PARAMETERS: dict[str, dict[str, Any]] = {C: {}, NC: _DIRECT, NC_FROM_C: _DIRECT | {"relax_first": False}}
SHOWN = ("SRME", "SRE", "SRD", "imaginary_mode_rate", "failure_rate")
GROUP = "displacement-sweep"


@dataclass(frozen=True)
class Setting:
    """One line of the table.

    :ivar kind: of the forces.
    :ivar displacement: A.
    """

    kind: str
    displacement: float

    @property
    def parameters(self) -> dict[str, Any]:
        """Return what it changes in the protocol."""
        return PARAMETERS[self.kind] | {"displacement": self.displacement}

    def __str__(self) -> str:
        return f"{self.kind}, {self.displacement:g} A"


def settings(displacements: Iterable[float] = DISPLACEMENTS) -> list[Setting]:
    """Return all settings, conservative ones first, since the last kind starts from their crystals."""
    return [Setting(kind, displacement) for kind in PARAMETERS for displacement in displacements]


def table(found: Mapping[Setting, Mapping[str, float]]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"{'forces':10} {'A':>5} " + " ".join(f"{name:>{max(8, len(name))}}" for name in SHOWN)
    for setting, numbers in found.items():
        values = (f"{numbers.get(name, float('nan')):{max(8, len(name))}.4f}" for name in SHOWN)
        yield f"{setting.kind:10} {setting.displacement:5g} " + " ".join(values)


def numbers_of(node: Any, reference: str) -> dict[str, float]:
    """Return the metrics of a launch by their last name."""
    found = metrics(node, Path(reference), all_references=True).numbers
    return {name.rpartition("/")[2]: metric.value for name, metric in found.items()}


def submitted(setting: Setting, structures: Any, arguments: argparse.Namespace) -> Any:
    """Return the node of a launch that was handed to the daemon."""
    builder = WorkflowFactory("pet.conductivity").get_builder_from_protocol(
        orm.load_code(arguments.code),
        orm.load_node(arguments.model),
        structures,
        protocol="phonondb-v1",
        overrides={"parameters": setting.parameters},
    )
    node = submit(builder)
    node.label = f"displacement sweep: {setting}"
    orm.Group.collection.get_or_create(label=GROUP)[0].add_nodes(node)
    print(f"<{node.pk}> {setting}", flush=True)
    return node


def wait(nodes: Sequence[Any], interval_s: float) -> None:
    """Return when all processes have ended."""
    while not all(node.is_terminated for node in nodes):
        time.sleep(interval_s)


def main() -> None:
    """Start all launches, wait for them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("structures", help="pk or uuid of the set")
    parser.add_argument("--reference", required=True, help="file of the reference's modes")
    parser.add_argument("--model", required=True, help="pk or uuid of a model with direct heads")
    parser.add_argument("--code", default="pet-engine@localhost")
    parser.add_argument("--displacements", type=float, nargs="+", default=DISPLACEMENTS, help="A")
    parser.add_argument("--interval", type=float, default=30.0, help="seconds between two looks")
    arguments = parser.parse_args()
    given = orm.load_node(arguments.structures)
    wanted = settings(arguments.displacements)
    nodes = {one: submitted(one, given, arguments) for one in wanted if one.kind != NC_FROM_C}
    first = next(one for one in wanted if one.kind == C)
    wait([nodes[first]], arguments.interval)
    if "forces" in nodes[first].outputs:  # crystals as they were relaxed, with their supercells
        relaxed = nodes[first].outputs.forces
        nodes |= {one: submitted(one, relaxed, arguments) for one in wanted if one.kind == NC_FROM_C}
    wait(list(nodes.values()), arguments.interval)
    ended = {one: node for one, node in nodes.items() if "results" in node.outputs}
    for one, node in nodes.items():
        if one not in ended:
            print(f"<{node.pk}> {one} has no results: {node.exit_message or node.process_state.value}")
    print("\n".join(table({one: numbers_of(node, arguments.reference) for one, node in ended.items()})))


if __name__ == "__main__":
    main()
