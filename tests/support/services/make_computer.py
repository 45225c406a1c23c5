"""Make a computer and its code ``pet-engine`` in the AiiDA profile of this process, from a JSON argument.

``label``, ``transport``, ``scheduler``, ``work_dir``, ``executable``, ``authentication`` (what the transport asks for).
Run as a script in a process of its own, since AiiDA has one profile per process.
"""

from __future__ import annotations

import json
import sys

from aiida import load_profile, orm

POLL_S = 1.0


def main() -> None:
    asked = json.loads(sys.argv[1])
    load_profile()
    computer = orm.Computer(
        label=asked["label"],
        hostname=asked["authentication"].get("host", "localhost"),
        transport_type=asked["transport"],
        scheduler_type=asked["scheduler"],
        workdir=asked["work_dir"],
    ).store()
    computer.set_minimum_job_poll_interval(POLL_S)
    computer.set_default_mpiprocs_per_machine(1)
    computer.configure(safe_interval=0, **asked["authentication"])
    orm.InstalledCode(
        label="pet-engine",
        computer=computer,
        filepath_executable=asked["executable"],
        default_calc_job_plugin="pet.relax",
        with_mpi=False,
    ).store()


if __name__ == "__main__":
    main()
