"""What a job of the reference path left: aiida-ase's parser, and whether the relaxation converged."""

from __future__ import annotations

from typing import Any

from aiida.engine import ExitCode
from aiida_ase.parsers.ase import AseParser


class PetAseParser(AseParser):
    """Parser of :class:`~aiida_pet.calculations.ase.PetAseCalculation`."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Set ``parameters``, ``array`` and ``structure``, as far as the job left them."""
        exit_code: ExitCode | None = super().parse(**kwargs)
        if exit_code is None and self.outputs["parameters"].get_dict().get("converged") is False:
            return self.exit_codes.ERROR_RELAX_NOT_COMPLETE
        return exit_code
