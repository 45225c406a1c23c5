"""``aiida-pet launch hull``: energies above hull of what is finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aiida_pet.campaigns.lines import told_options
from aiida_pet.cli.groups import OptionsByUse
from aiida_pet.cli.launching import (
    Request,
    check_request,
    launch_options,
    load_targets,
    protocol_option,
    read_site,
    start,
)
from aiida_pet.cli.options import parse_settings
from aiida_pet.cli.output import echo_json, echo_pairs
from aiida_pet.cli.references import load_references, reference_options
from aiida_pet.cli.session import Session
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida_pet.campaigns.plans import Site


@click.command(cls=OptionsByUse)
@click.argument("pk", metavar="SET|PK")
@reference_options
@protocol_option
@click.option(
    "--set",
    "set_",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set an option: hull=all|references, corrections=auto|mp2020|none, count_unconverged, force_mixture, "
    "stability_threshold (eV/atom) or level_of_theory.",
)
@launch_options
def hull(
    session: Session,
    *,
    pk: str,
    references: tuple[str, ...],
    level_of_theory: str,
    level: str | None,
    relax_references: str | None,
    protocol: str | None,
    set_: tuple[str, ...],
    request: Request,
) -> None:
    """Compute energies above the convex hull for the finished set or launch PK.

    The crystals of the set compete with each other and with the references. Code, model and --protocol are used only
    for --relax-references. Without --protocol, references are relaxed with the same parameters as the set.

    \b
    aiida-pet launch hull 12 --relax-references elements.xyz
    aiida-pet launch hull 12 --reference mp.json.gz --level-of-theory PBE
    """
    from aiida.orm import Int

    from aiida_pet.calculations.hull import check_hull_parameters
    from aiida_pet.campaigns import rows as rows_of
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.workchains.hull import HullWorkChain, validate_structures, why_no_hull

    session.load()
    check_request(request)
    of_jobs = {
        "--clean-workdir and --keep-workdir are": request.clean_workdir,
        "--job-size is": request.job_size,
        "--job-duration is": request.job_duration,
    }
    for told, value in of_jobs.items():
        if value is not None and relax_references is None:
            raise click.UsageError(f"{told} for launches that run jobs, that is with --relax-references")
    parameters = parse_settings(set_)
    problem = check_hull_parameters(parameters)
    if problem:
        raise click.BadParameter(problem, param_hint="--set")
    rows = rows_of(pk)
    if rows.missing:
        raise click.ClickException(rows.missing)
    if not isinstance(rows.table, StructureSetData):
        raise click.ClickException(f"<{rows.table.pk}> is a table without crystals: name a set or a launch")
    problem = validate_structures(rows.table, None)
    if problem:
        raise click.ClickException(problem)
    competing = load_references(references, level_of_theory, store=not request.dry_run, level=level)
    inputs: dict[str, Any] = {"references": competing, "parameters": parameters}
    relaxed: Any = None
    site: Site | None = None
    if relax_references is not None:
        relaxed = load_targets((relax_references,), store=not request.dry_run)
        if not isinstance(relaxed, StructureSetData):
            raise click.ClickException("--relax-references takes a set or a file, not a single structure")
        site = read_site(request)
        inputs |= _relaxation(site, relaxed, protocol)
    problem = why_no_hull(rows.table, competing, parameters, None if site is None else (site.model, relaxed))
    if problem:
        raise click.ClickException(f"two levels of theory on one hull: {problem}")
    if request.dry_run:
        _tell(rows.table, competing, relaxed, request, site)
        return
    builder: Any = HullWorkChain.get_builder_from_protocol(rows.table, **inputs)
    if request.job_size is not None:
        builder.relax.job_size = Int(request.job_size)
    record = {"structures": rows.table.pk, "parameters": parameters}
    start(builder, "hull", request, record, jobs=builder.relax)


def _relaxation(site: Site, structures: Any, protocol: str | None) -> dict[str, Any]:
    known = {name: value for name, value in site.inputs.items() if name != "job_size"}
    return known | {
        "reference_structures": structures,
        "code": site.code,
        "model": site.model,
        "protocol": protocol,
    }


def _tell(
    structures: Any, references: dict[str, Any], relaxed: Any, request: Request, site: Site | None
) -> None:
    counts = {name: len(node) for name, node in references.items()}
    to_relax = 0 if relaxed is None else len(relaxed)
    if request.as_json:
        record = {"rows": len(structures), "references": counts, "references_to_relax": to_relax}
        echo_json(record | ({"options": site.options} if site else {}))
        return
    echo_pairs(
        {
            "crystals": f"{len(structures):,}",
            "references": ", ".join(f"{name}: {plural(count, 'phase')}" for name, count in counts.items())
            or "only the set itself",
            "to relax": plural(to_relax, "reference"),
        }
        | ({"each job asks for": told_options(site.options)} if site else {})
    )
    click.echo("nothing was started")
