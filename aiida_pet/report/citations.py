"""The works to cite for a campaign: AiiDA, PET, and the model. CITATION.cff of the project lists them whole."""

from __future__ import annotations

from aiida_pet.models.registry import list_models

GENERAL = (
    "aiida-pet: CITATION.cff of the project has the full references",
    "AiiDA: Huber et al., Scientific Data 7, 300 (2020), doi:10.1038/s41597-020-00638-4",
    "AiiDA's workflows: Uhrin et al., Computational Materials Science 187, 110086 (2021), "
    "doi:10.1016/j.commatsci.2020.110086",
    "PET: Pozdnyakov and Ceriotti, NeurIPS 36, 79469 (2023), arXiv:2305.19302",
)
_REFRACTORY = "Li et al., npj Computational Materials 6, 70 (2020), doi:10.1038/s41524-020-0339-0"
SHIPPED = {
    "pet-common-xs": f"Data of pet-common-xs: labels by Nequix, Koker et al., arXiv:2508.16067; {_REFRACTORY}",
    "pet-refractory-xs": f"Data of pet-refractory-xs: {_REFRACTORY}",
}
"""What to cite for the model that ships, and for those that shipped before."""


def works_to_cite(model: str, tasks: frozenset[str] = frozenset()) -> list[str]:
    """Return what to cite.

    :param model: name of the model.
    :param tasks: names of tasks and stages, some of which stand on works of others.
    """
    found = list(GENERAL)
    if model in SHIPPED:
        found.append(SHIPPED[model])
    entry = next((one for one in list_models() if one.name == model), None)
    if entry is not None:
        found.append(f"The model {model}: {', '.join(entry.references)}")
    if "phonons" in tasks:
        found.append(
            "phonopy: Togo, Journal of the Physical Society of Japan 92, 012001 (2023), doi:10.7566/JPSJ.92.012001"
        )
    if tasks & {"hull", "elastic"}:
        found.append(
            "pymatgen: Ong et al., Computational Materials Science 68, 314 (2013), doi:10.1016/j.commatsci.2012.10.028"
        )
    return found
