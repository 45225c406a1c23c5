"""The script of a dry run is the script that the job gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.campaigns.plans import Plan, Site
from aiida_pet.campaigns.scripts import NAME, job_script
from aiida_pet.workchains.jobs import jobs_of


@pytest.mark.parametrize("task", ["relax", "phonons"])
def test_script_is_the_one_of_the_job(pet_code: Any, pet_model: Any, make_structures: Any, task: str) -> None:
    structures = make_structures(["a", "b"])
    options = {"prepend_text": "export OURS=1", "max_wallclock_seconds": 600}
    site = Site.of(pet_code, pet_model, options=options, settings={"threads": 1})
    plan = Plan.of(task, structures, site)
    before = orm.QueryBuilder().append(orm.Node).count()
    script = job_script(task, plan.table(), site, plan.parameters)
    assert orm.QueryBuilder().append(orm.Node).count() == before
    assert "export OURS=1" in script
    (job,) = jobs_of(run_get_node(plan.builder()).node)
    assert script.replace(NAME, f"aiida-{job.pk}") == job.base.repository.get_object_content(
        "_aiidasubmit.sh"
    )


def test_script_asks_the_queue_for_what_was_asked(
    build_cluster: Any, pet_model: Any, make_structures: Any, tmp_path: Path
) -> None:
    computer = build_cluster(tmp_path, account="mat")
    code = orm.InstalledCode(
        label="pet-engine", computer=computer, filepath_executable="/opt/pet-engine"
    ).store()
    site = Site.of(code, pet_model, resources={"gpus": 1, "walltime": "2h"})
    script = job_script("relax", make_structures(["a"]).to_table(), site)
    for line in (
        "#SBATCH --account=mat",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --time=02:00:00",
        "'/opt/pet-engine'",
    ):
        assert line in script
    assert f'--job-name="{NAME}"' in script
