"""A distillation of crystals of which the teacher does not know some: they are refused rows with a reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.data.structures import StructureSetData
from aiida_pet.training.parameters import Mode
from support.labelled_crystals import TINY
from support.small_model import small_model_node


def crystals(names: list[str]) -> StructureSetData:
    """Return rattled cells of these metals."""
    cells = {}
    for i, name in enumerate(names):
        cells[f"{name}-{i:02d}"] = cell = bulk(name, "bcc", a=3.16 * (1 + 0.004 * (i % 5)), cubic=True)
        cell.rattle(0.02, seed=i)
    return StructureSetData(cells).store()


def builder_of(code: Any, structures: StructureSetData, **inputs: Any) -> Any:
    from aiida_pet.workchains.train import TrainWorkChain

    options = {"group": None, "report_by": None, "cutoff": 4.5, "epochs_direct": 0, "epochs": 1}
    return TrainWorkChain.get_builder_from_protocol(
        code, structures, mode=Mode.DISTILL, teacher=small_model_node(), overrides={"parameters": TINY | options},
        **inputs,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rows_that_the_teacher_does_not_know_are_refused_with_the_reason(
    module_inputs: Callable[..., dict[str, Any]],
) -> None:
    from aiida import orm

    for module in ("torch", "metatrain"):
        pytest.importorskip(module, reason="needs the extra `engine`")
    code = orm.InstalledCode(
        label="pet-engine-distil",
        computer=module_inputs(1)["code"].computer,
        filepath_executable=str(Path(sys.executable).parent / "pet-engine"),
    ).store()
    structures = crystals(["W"] * 7 + ["Au"] * 2 + ["Mo"] * 7)
    node = run_get_node(builder_of(code, structures, settings={"threads": 1, "device": "cpu"}))[1]
    assert node.is_finished_ok, node.exit_message
    rows = node.outputs.rows.to_dataframe().set_index("row")
    assert rows.index.tolist() == structures.ids.tolist()
    refused = rows[rows["split"] == "refused"]
    assert refused.index.tolist() == ["Au-07", "Au-08"]
    assert refused["reason"].str.contains("unsupported_element").all()
    assert sum(node.outputs.summary["refused"].values()) == 2
    assert node.outputs.model.elements == [42, 74]


def test_set_of_which_the_teacher_knows_nothing_is_refused_before_anything_starts(
    module_inputs: Callable[..., dict[str, Any]],
) -> None:
    with pytest.raises(ValueError, match="does not know Au: 12 of 12 rows"):
        run_get_node(builder_of(module_inputs(1)["code"], crystals(["Au"] * 12)))
