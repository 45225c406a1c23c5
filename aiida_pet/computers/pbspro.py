"""PBS Professional with GPUs: AiiDA's scheduler, except that a ``select`` of the user's takes the place of its own.

AiiDA writes ``#PBS -l select=...`` before ``custom_scheduler_commands``, and of two directives for one resource qsub
keeps the first (``set_resources`` in OpenPBS's Libcmds/set_resource.c), so that a select with ``ngpus`` would be
ignored without a word.
"""

from __future__ import annotations

from aiida.schedulers.datastructures import JobTemplate
from aiida.schedulers.plugins.pbspro import PbsproScheduler

SELECT = "#PBS -l select="


class GpuPbsproScheduler(PbsproScheduler):
    """PBS Professional; a ``#PBS -l select=`` among ``custom_scheduler_commands`` is the only one in the script."""

    def _get_submit_script_header(self, job_tmpl: JobTemplate) -> str:
        """Return the header without AiiDA's select if the user gave one."""
        header = super()._get_submit_script_header(job_tmpl)
        given = (job_tmpl.custom_scheduler_commands or "").splitlines()
        if not any(line.startswith(SELECT) for line in given):
            return header
        lines = header.splitlines()
        own = next(number for number, line in enumerate(lines) if line.startswith(SELECT))
        return "\n".join([*lines[:own], *lines[own + 1 :], ""])
