"""Hashes that an import dropped are made as they were; those that were cleared, and jobs of others, are left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.calculations.hashing import restore_hashes
from aiida_pet.calculations.relax import RelaxCalculation

Inputs = Callable[..., dict[str, Any]]
HASH = "_aiida_hash"


@pytest.fixture
def job(job_inputs: Inputs) -> Any:
    """A job that ran with variables and settings of its site, which its hash leaves out."""
    inputs = job_inputs(2, OMP_NUM_THREADS=3) | {"settings": {"threads": 3}}
    return run_get_node(RelaxCalculation, **inputs)[1]


def without_hash(*nodes: Any) -> list[str]:
    """Drop the hashes of ``nodes``, as an import does, and return what they were."""
    found = [node.base.extras.get(HASH) for node in nodes]
    for node in nodes:
        node.base.extras.delete(HASH)
    return found


def test_hashes_that_are_not_there_are_made_as_they_were(job: Any) -> None:
    job = orm.load_node(job.pk)
    structures = job.inputs.structures
    before = without_hash(job, structures)
    job.base.caching.rehash()  # what `verdi node rehash` makes is another one
    assert without_hash(job) != before[:1]
    assert restore_hashes() == 2
    assert [orm.load_node(node.pk).base.extras.get(HASH) for node in (job, structures)] == before
    assert restore_hashes() == 0


def test_a_hash_that_was_cleared_stays_so(job: Any) -> None:
    job.base.caching.clear_hash()
    restore_hashes()
    assert orm.load_node(job.pk).base.extras.get(HASH) is None


@pytest.mark.parametrize(
    "process_type",
    ["", "aiida.calculations:core.arithmetic.add", "aiida.calculations:of.no.plugin", "a.module.Class"],
)
def test_jobs_of_others_are_left_alone(pet_computer: orm.Computer, process_type: str) -> None:
    other = orm.CalcJobNode(computer=pet_computer, process_type=process_type).store()
    without_hash(other)
    restore_hashes()
    assert HASH not in orm.load_node(other.pk).base.extras.all
