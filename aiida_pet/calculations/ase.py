"""The reference path: one crystal per job through aiida-ase, a road of its own to compare the batch with.

aiida-ase writes a script for ASE and parses what it leaves, but only knows ASE's own calculators and
optimises without a cell filter. This class keeps its script, its parameters and its outputs, and changes a
few lines: the calculator is PET through metatomic-ase, the cell relaxes through ASE's FrechetCellFilter, and
whether the optimiser converged is among the results. Units are ASE's; the pressure alone is in GPa.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from aiida import orm
from aiida.common import InputValidationError
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida_ase.calculations.ase import AseCalculation
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_pet.data.model import PetModelData
from aiida_pet.job.folder import MODEL_FILE
from aiida_pet.job.parameters import CellFilter, Derivation, Dtype
from aiida_pet.schemas import check_as, told

# Lines of aiida-ase's script that are changed. GPAW is what it imports if no calculator is named.
_IMPORT_LINE = "from gpaw import GPAW as custom_calculator\n"
_CALCULATOR_LINE = "atoms.set_calculator(calculator)\n"
_OPTIMIZER_CALL = "optimizer = custom_optimizer(atoms, "
_RUN_CALL = "optimizer.run("
_RESULTS_LINE = "results = {}\n"
_WRITE_CALL = "atoms.write("

_FILTERS = {
    CellFilter.FULL: "FrechetCellFilter(atoms, scalar_pressure={pressure!r} * ase.units.GPa)",
    CellFilter.SHAPE: "FrechetCellFilter(atoms, constant_volume=True)",
    CellFilter.VOLUME: (
        "FrechetCellFilter(atoms, hydrostatic_strain=True, scalar_pressure={pressure!r} * ase.units.GPa)"
    ),
    CellFilter.FIXED: "atoms",
}


class AseOptimizer(StrEnum):
    """ASE's optimisers that :func:`relax_parameters` offers, by aiida-ase's names."""

    FIRE = "fire"
    LBFGS = "lbfgs"
    BFGS = "bfgs"


def static_parameters(*, dtype: str = "float64") -> dict[str, Any]:
    """Return the ``parameters`` of energy (eV), forces (eV/A) and stress (eV/A^3) of a crystal as it is.

    :param dtype: precision of the model, ``float32`` or ``float64``.
    """
    return {
        "calculator": {"args": {"dtype": dtype}},
        "atoms_getters": ["potential_energy", "volume", "forces", "stress"],
    }


def relax_parameters(
    *,
    fmax: float = 0.02,
    max_steps: int = 500,
    optimizer: AseOptimizer | str = AseOptimizer.FIRE,
    cell: CellFilter | str = CellFilter.FULL,
    pressure: float = 0.0,
    dtype: str = "float64",
) -> dict[str, Any]:
    """Return the ``parameters`` of a relaxation.

    :param fmax: bound ``fmax`` of ASE's optimiser, eV/A: bounds the forces and the gradient with respect to the cell
        alike.
    :param max_steps: after which the optimiser gives up, with ``converged`` False in the outputs.
    :param optimizer: ASE's optimiser.
    :param cell: what of the cell may relax.
    :param pressure: external pressure, GPa.
    :param dtype: precision of the model, ``float32`` or ``float64``.
    :raises ValueError: if ``optimizer`` or ``cell`` is not one of the choices.
    """
    if CellFilter(cell) not in _FILTERS:
        raise ValueError(f"cell = {cell!r}: expected one of {', '.join(_FILTERS)}")
    return static_parameters(dtype=dtype) | {
        "optimizer": {
            "name": AseOptimizer(optimizer).value,
            "run_args": {"fmax": fmax, "steps": max_steps},
        },
        "cell": CellFilter(cell).value,
        "pressure": pressure,
    }


class CalculatorArguments(BaseModel):
    """The arguments of :func:`aiida_pet.engine.model.ase_calculator.pet_calculator`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal[Dtype.FLOAT32, Dtype.FLOAT64] = Dtype.FLOAT64
    device: str = "auto"
    forces: Derivation = Derivation.CONSERVATIVE
    stress: Derivation = Derivation.CONSERVATIVE


class PetCalculator(BaseModel):
    """The calculator, as aiida-ase writes one down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    args: CalculatorArguments = Field(
        json_schema_extra=told(expected="a dictionary such as {'dtype': 'float64'}")
    )

    @model_validator(mode="before")
    @classmethod
    def _no_name(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and "name" in raw:
            raise ValueError(
                f"calculator name {raw['name']!r}: the calculator is always PET, so leave the name out (for another "
                "calculator use aiida-ase's ase.ase)"
            )
        return raw


class PetAseParameters(BaseModel):
    """The parameters of :class:`PetAseCalculation`: aiida-ase's, which checks its own, with cell and pressure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calculator: PetCalculator = Field(
        json_schema_extra=told(expected="a dictionary such as {'args': {'dtype': 'float64'}}")
    )
    optimizer: Any = None
    atoms_getters: Any = None
    calculator_getters: Any = None
    extra_imports: Any = None
    pre_lines: Any = None
    post_lines: Any = None
    cell: Literal[CellFilter.FULL, CellFilter.SHAPE, CellFilter.VOLUME, CellFilter.FIXED] = CellFilter.FULL
    pressure: float = Field(0.0, strict=True, json_schema_extra=told(unit="GPa"))


def validate_parameters(node: orm.Dict | None, _: Any) -> str | None:
    """Return what is wrong with ``parameters``, None if nothing is."""
    return None if node is None else check_as(PetAseParameters, node.get_dict())


class PetAseCalculation(AseCalculation):
    """PET through ASE, one crystal per job; the code is a Python interpreter with the extra ``engine``.

    ``parameters`` are aiida-ase's, and in addition ``cell`` (full, shape, volume, fixed) and ``pressure``
    (GPa); :func:`static_parameters` and :func:`relax_parameters` make them. Outputs are aiida-ase's:
    ``parameters`` with the scalars of the getters (eV, A^3) and, of a relaxation, ``converged`` and
    ``n_steps``; ``array`` with forces (eV/A) and stress (eV/A^3); ``structure``, the final geometry.
    """

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Add the model to aiida-ase's ports."""
        super().define(spec)
        spec.inputs["metadata"]["options"]["parser_name"].default = "pet.ase"
        spec.input("model", valid_type=PetModelData, help="The PET model.")
        spec.input(
            "remote_model",
            valid_type=orm.RemoteData,
            required=False,
            help=f"Folder on the computer that contains the model as {MODEL_FILE}. The job links to this file, and "
            "nothing is uploaded.",
        )
        spec.inputs["parameters"].validator = validate_parameters
        spec.inputs["metadata"]["options"]["resources"].default = {
            "num_machines": 1,
            "num_mpiprocs_per_machine": 1,
        }
        spec.inputs["metadata"]["options"]["withmpi"].default = False

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write aiida-ase's script with PET as the calculator, and bring the model along.

        :raises InputValidationError: if the script of aiida-ase is not the script that this class can change.
        """
        calcinfo = super().prepare_for_submission(folder)
        with folder.open(self._INPUT_FILE_NAME) as handle:
            script = handle.read()
        with folder.open(self._INPUT_FILE_NAME, "w") as handle:
            handle.write(adapt_script(script, self.inputs.model.sha256, self.inputs.parameters.get_dict()))
        if "remote_model" in self.inputs:
            remote = self.inputs.remote_model
            source = f"{remote.get_remote_path()}/{MODEL_FILE}"
            calcinfo.remote_symlink_list = [(remote.computer.uuid, source, MODEL_FILE)]
        else:
            calcinfo.local_copy_list.append((self.inputs.model.uuid, self.inputs.model.filename, MODEL_FILE))
        return calcinfo


def adapt_script(script: str, sha256: str, parameters: dict[str, Any]) -> str:
    """Return aiida-ase's ``script`` with PET as the calculator and the cell filter around the atoms.

    :param sha256: sha256 of the checkpoint; the job refuses any other file.
    :param parameters: parameters of the calculation.
    :raises InputValidationError: if a line to be changed is not there exactly once.
    """
    script = _replaced(
        script,
        _IMPORT_LINE,
        "import functools\n"
        "import ase.units\n"
        "from ase.filters import FrechetCellFilter\n"
        "from aiida_pet.engine.model.ase_calculator import pet_calculator\n"
        f"custom_calculator = functools.partial(pet_calculator, {MODEL_FILE!r}, {sha256!r})\n",
    )
    script = _replaced(script, _CALCULATOR_LINE, "atoms.calc = calculator\n")
    if parameters.get("optimizer") is not None:
        cell = CellFilter(parameters.get("cell", CellFilter.FULL.value))
        target = _FILTERS[cell].format(pressure=float(parameters.get("pressure", 0.0)))
        script = _replaced(script, _OPTIMIZER_CALL, f"optimizer = custom_optimizer({target}, ")
        script = _replaced(script, _RUN_CALL, f"converged = {_RUN_CALL}")
        results = "results = {'converged': bool(converged), 'n_steps': int(optimizer.nsteps)}\n"
        script = _replaced(script, _RESULTS_LINE, results)
        # a copy has no calculator, which ASE would try to write down too
        script = _replaced(script, _WRITE_CALL, "atoms.copy().write(")
    return script


def _replaced(script: str, old: str, new: str) -> str:
    if script.count(old) != 1:
        raise InputValidationError(
            f"aiida-ase's script holds {old.strip()!r} {script.count(old)} times, expected once: the version "
            "that is installed writes another script; use aiida-ase 3.x, or a batch (pet.relax)"
        )
    return script.replace(old, new)
