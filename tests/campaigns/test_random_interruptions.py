"""Random interruptions of random screenings: the final table is that of the undisturbed run, or the launch is refused.

``AIIDA_PET_INTERRUPTIONS=40`` runs so many of them, of seeds of their own; one is enough for every day.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.campaigns.resumption import resume_builder, what_is_done
from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.screening import ScreeningWorkChain

Inputs = Callable[..., dict[str, Any]]
KINDS = ("alloy", "saddle", "soft", "max_steps", "high")
STAGES = (("relax", "phonons"), ("relax", "hull", "elastic"), ("phonons",))
MOST_LAUNCHES = 8


def random_screening(chance: random.Random, inputs: dict[str, Any]) -> Any:
    """Return the builder of a screening."""
    stages = chance.choice(STAGES)
    overrides: dict[str, dict[str, Any]] = {}
    if "relax" in stages:
        overrides["relax"] = {"mode": chance.choice(["free", "constrained", "constrained_then_free"])}
    if "phonons" in stages and chance.random() < 0.5:
        overrides["phonons"] = {"keep": None}
    return ScreeningWorkChain.get_builder_from_protocol(
        *(inputs[name] for name in ("code", "model", "structures")),
        options=inputs["options"],
        stages=stages,
        overrides=overrides,
        lanes=chance.randint(1, 2),
        job_size=chance.randint(1, 3),
        reuse=False,
    )


def changed(structures: StructureSetData) -> StructureSetData:
    """Return the set with another crystal under its first id."""
    table = structures.to_table()
    table.cells = table.cells.copy()
    table.cells[0] *= 1.01
    return StructureSetData.from_table(table).store()


@pytest.mark.parametrize("seed", range(int(os.environ.get("AIIDA_PET_INTERRUPTIONS", "1"))))
def test_screening_that_is_interrupted(
    seed: int, module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    ids = [f"{chance.choice(KINDS)}_{number}" for number in range(chance.randint(2, 4))]
    inputs = module_inputs(ids)
    builder = random_screening(chance, inputs)
    _, undisturbed = run_get_node(builder)
    truth = undisturbed.outputs.results.to_dataframe()

    def run(one: Any, *, in_peace: bool) -> orm.WorkChainNode:
        """Run it until lanes and screening have asked some times; then all is to stop."""
        questions = iter(range(0 if in_peace else chance.randint(1, 5)))
        with monkeypatch.context() as patch:
            for module in ("lane", "screening"):
                patch.setattr(
                    f"aiida_pet.workchains.{module}.is_stop_requested",
                    lambda _: not in_peace and next(questions, None) is None,
                )
            return run_get_node(one)[1]

    node = run(builder, in_peace=False)
    for launch in range(MOST_LAUNCHES):
        if node.is_finished_ok:
            break
        resumed = resume_builder(node)
        resumed.lanes = orm.Int(chance.randint(1, 3))
        if chance.random() < 0.4 and any(what_is_done(node).values()):
            other = resume_builder(node)
            other.structures = changed(inputs["structures"])
            first = "relax" if "relax" in node.inputs.stages.get_dict() else "phonons"
            done = {str(name) for table in other.done.get(first, {}).values() for name in table.ids}
            if str(inputs["structures"].ids[0]) in done:
                with pytest.raises(ValueError, match="has other crystals"):
                    run_get_node(other)
        node = run(resumed, in_peace=launch == MOST_LAUNCHES - 1)
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.results.to_dataframe().equals(truth)
    assert len(jobs_of(node)) <= len(jobs_of(undisturbed)) + len(ids)
