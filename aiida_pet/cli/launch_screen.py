"""``aiida-pet launch screen``: a set of crystals through the funnel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.campaigns.lines import told_options
from aiida_pet.cli.campaign_files import (
    check_alone,
    how_it_runs,
    is_campaign_file,
    request_of,
    set_to_write,
    targets_of,
    write,
)
from aiida_pet.cli.groups import OptionsByUse
from aiida_pet.cli.launching import (
    Request,
    check_request,
    check_script,
    echo_script,
    launch_options,
    load_targets,
    note_elsewhere,
    protocol_option,
    read_site,
    script_option,
    start,
    targets_argument,
)
from aiida_pet.cli.options import parse_settings
from aiida_pet.cli.output import echo_json, echo_pairs, echo_table, note, say
from aiida_pet.cli.references import load_references, reference_options
from aiida_pet.cli.session import Session
from aiida_pet.cli.targets import check_target, force_option
from aiida_pet.job.stages import PARAMETERS, STAGES, stage_names, task_of
from aiida_pet.job.tasks import Task
from aiida_pet.names import RelaxMode, values_of
from aiida_pet.words import assigned, did_you_mean, duration, plural, shortened, unknown_name

if TYPE_CHECKING:
    from aiida_pet.campaigns.campaign_file import CampaignFile, Lines
    from aiida_pet.campaigns.plans import Site


def _no_where(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            "a screening uses all rows of its set. --keep 'STAGE: CONDITION' decides which rows go on after a stage, "
            f"and `aiida-pet data export SET -o FILE --where '{value}'` writes a part of the rows to a file"
        )


@click.command(cls=OptionsByUse)
@targets_argument
@click.option("--stages", default=",".join(STAGES), show_default=True, help="Stages to run, in this order.")
@click.option(
    "--keep",
    multiple=True,
    metavar="STAGE:CONDITION",
    help="Condition for going on after a stage, such as 'hull: e_above_hull <= 0.025'. With an empty condition, such "
    "as 'hull:', all rows that did not fail go on.",
)
@click.option(
    "--mode",
    type=click.Choice(values_of(RelaxMode)),
    help="Whether the stage relax keeps the symmetry, relaxes freely, or first keeps it and then relaxes freely.  "
    "[default: constrained]",
)
@click.option(
    "--set",
    "set_",
    multiple=True,
    metavar="STAGE.NAME=VALUE",
    help="Set an option or parameter of a stage, such as relax.fmax=0.01 or symmetry.symprec=0.1.",
)
@protocol_option
@reference_options
@click.option(
    "--reuse/--no-reuse",
    default=True,
    show_default=True,
    help="Use the cache for jobs that were done before with the same inputs.",
)
@click.option("--where", hidden=True, expose_value=False, callback=_no_where)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --dry-run: write the screening as a campaign file.",
)
@force_option
@script_option
@launch_options
def screen(
    session: Session,
    *,
    targets: tuple[str, ...],
    stages: str,
    keep: tuple[str, ...],
    mode: str | None,
    set_: tuple[str, ...],
    protocol: str | None,
    references: tuple[str, ...],
    level_of_theory: str,
    level: str | None,
    relax_references: str | None,
    reuse: bool,
    output: Path | None,
    force: bool,
    script: bool,
    request: Request,
) -> None:
    """Screen the crystals of a set (by pk or label) or of FILES, stage by stage, or as a campaign FILE.yaml says.

    The final table has all rows, including rows that failed or did not fulfil a condition. It shows at which stage such
    a row left, and why. If you launch a stopped screening again, it goes on where it stopped: finished jobs come from
    the cache.

    \b
    aiida-pet launch screen campaign.yaml
    aiida-pet launch screen alloys.xyz --keep 'hull: e_above_hull <= 0.025'
    aiida-pet launch screen 12 --reference mp.json.gz --level-of-theory PBE
    """
    from aiida_pet.campaigns.campaign_file import CampaignFile, read_campaign
    from aiida_pet.campaigns.export import model_of
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.workchains.screening import ScreeningWorkChain

    if output is not None:
        if not request.dry_run:
            raise click.UsageError(
                "-o needs --dry-run; `aiida-pet export-launch PK -o FILE` writes the campaign file of a launch"
            )
        check_target(output, force)
    check_script(script, request)
    session.load()
    if is_campaign_file(targets):
        check_alone()
        campaign, lines = read_campaign(Path(targets[0]))
        request = request_of(campaign, request)
        check_request(request)
        folder = Path(targets[0]).parent
        names, overrides, protocol = tuple(campaign.stages), campaign.overrides(folder), campaign.protocol
        chosen = _stages_of_file(campaign, overrides, lines)
        targets = targets_of(campaign, folder)
        references, reuse = tuple(campaign.references), campaign.reuse
        level_of_theory, level, relax_references = (
            campaign.level_of_theory,
            campaign.level,
            campaign.relax_references,
        )
    else:
        check_request(request)
        names = tuple(name.strip() for name in stages.split(",") if name.strip())
        overrides = _overrides(keep, mode, set_)
        chosen = _stages(names, protocol, overrides)
    site = read_site(request)
    structures = load_targets(targets, store=not request.dry_run)
    if not isinstance(structures, StructureSetData):
        raise click.ClickException("a screening takes a set or files, not a single structure")
    _check(chosen, structures)
    _check_model(chosen, site)
    competing = load_references(references, level_of_theory, store=not request.dry_run, level=level)
    relaxed: Any = None
    if relax_references is not None:
        relaxed = load_targets((relax_references,), store=not request.dry_run)
    _check_references(chosen, structures, site, competing, relaxed)
    if script:
        echo_script(_script(chosen, structures, site), request.as_json)
        return
    if request.dry_run:
        _tell(chosen, structures, site, request)
        if output is not None:
            written = CampaignFile(
                label=request.label,
                set_=set_to_write(structures, targets, output),
                model=model_of(site.model),
                code=site.code.full_label,
                stages=chosen,
                references=list(references),
                level_of_theory=level_of_theory,
                level=level,
                relax_references=relax_references,
                reuse=reuse,
                **how_it_runs(request),
            )
            write(written, output)
        return
    for text in _notes(chosen, structures):
        note(f"Warning: {text}")
    builder = ScreeningWorkChain.get_builder_from_protocol(
        site.code,
        site.model,
        structures,
        stages=names,
        protocol=protocol,
        overrides=overrides,
        references=competing,
        reference_structures=relaxed,
        reuse=reuse,
        **site.inputs,
    )
    record = {"structures": structures.pk, "model": site.model.pk, "stages": chosen}
    start(builder, "screening", request, record)


def _script(stages: dict[str, dict[str, Any]], structures: Any, site: Site) -> str:
    """Return the script of the first job of a screening.

    :raises click.ClickException: if none of its stages has jobs.
    """
    from aiida_pet.campaigns.scripts import job_script
    from aiida_pet.job.stages import PARAMETERS

    for stage, options in stages.items():
        task = task_of(stage)
        if task is not None:
            return job_script(task, structures.to_table(), site, options.get(PARAMETERS))
    raise click.ClickException(f"no stage of {', '.join(stages)} has jobs of its own")


def _stages_of_file(
    campaign: CampaignFile, overrides: dict[str, dict[str, Any]], lines: Lines
) -> dict[str, dict[str, Any]]:
    """Return the stages of a campaign file.

    :param overrides: stage -> options.
    :raises CampaignFileError: for what a stage does not know, with the line.
    """
    for stage in campaign.stages:
        if stage not in stage_names():
            raise lines.error(("stages", stage), unknown_name(stage, stage_names()))
    try:
        return _stages(tuple(campaign.stages), campaign.protocol, overrides)
    except click.ClickException as error:
        raise lines.error((), error.message, lines.of_words(error.message)) from error


def _overrides(keep: tuple[str, ...], mode: str | None, set_: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return stage -> options, as the options of the command line say."""
    from aiida_pet.workchains.stages import OF_ALL_STAGES, stage_options

    found: dict[str, dict[str, Any]] = {}
    for name, value in parse_settings(set_).items():
        stage, dot, key = name.partition(".")
        if not dot or stage not in stage_names():
            raise click.BadParameter(
                f"{name!r} is not STAGE.NAME with a stage of {', '.join(stage_names())}"
                f"{did_you_mean(stage, stage_names())}",
                param_hint="--set",
            )
        options = found.setdefault(stage, {})
        # those of all stages are no parameters: they are refused with what to do instead
        if key in stage_options(stage) or key in OF_ALL_STAGES:
            options[key] = value
        else:
            options.setdefault("parameters", {})[key] = value
    for text in keep:
        stage, colon, condition = text.partition(":")
        stage = stage.strip()
        if not colon or stage not in stage_names():
            raise click.BadParameter(
                f"{text!r} is not STAGE:CONDITION with a stage of {', '.join(stage_names())}"
                f"{did_you_mean(stage, stage_names())}",
                param_hint="--keep",
            )
        if "keep" in found.get(stage, {}):
            raise click.BadParameter(
                f"stage {stage} has two conditions: join them with `and`", param_hint="--keep"
            )
        found.setdefault(stage, {})["keep"] = condition.strip() or None
    if mode is not None:
        found.setdefault("relax", {})["mode"] = mode
    return found


def _stages(
    names: tuple[str, ...], protocol: str | None, overrides: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    from aiida_pet.job.parameters import ParameterError
    from aiida_pet.workchains.protocols import ProtocolError
    from aiida_pet.workchains.stages import make_stages

    try:
        return make_stages(names, protocol, overrides)
    except (ParameterError, ProtocolError) as error:
        raise click.ClickException(str(error)) from error


def _check(stages: dict[str, dict[str, Any]], structures: Any) -> None:
    from aiida_pet.workchains.stages import check_stages, columns_of_set

    problem = check_stages(stages, columns_of_set(structures), structures.column)
    if problem:
        raise click.ClickException(problem)
    if "hull" in stages and "relax" not in stages and "energy" not in structures.column_names:
        raise click.ClickException("stage hull without stage relax needs a set with a column `energy` (eV)")


def _check_model(stages: dict[str, dict[str, Any]], site: Site) -> None:
    """:raises click.ClickException: if a stage needs an output that the model lacks."""
    from aiida_pet.job.model_outputs import why_no_answer

    for stage, options in stages.items():
        lacking = None
        if task_of(stage) is not None:
            lacking = why_no_answer(options.get(PARAMETERS) or {}, site.model.outputs)
        if lacking:
            raise click.ClickException(f"stage {stage}: {lacking}")


def _check_references(
    stages: dict[str, dict[str, Any]], structures: Any, site: Site, competing: dict[str, Any], relaxed: Any
) -> None:
    """:raises click.ClickException: if there are references without a hull, or such that must not be on it."""
    from aiida_pet.workchains.screening import why_no_hull_stage

    if (competing or relaxed is not None) and "hull" not in stages:
        raise click.UsageError("references are given, but stage hull is not among --stages")
    problem = why_no_hull_stage(stages, structures, site.model, competing)
    if problem:
        raise click.ClickException(problem)


def _notes(stages: dict[str, dict[str, Any]], structures: Any) -> list[str]:
    """Return sentences on settings that stages take from the set, and that crystals lack."""
    from aiida_pet.campaigns.given_cells import notes_on_columns

    return [
        f"stage {stage}: {text}"
        for stage, options in stages.items()
        if (task := task_of(stage)) is not None
        for text in notes_on_columns(task, options.get(PARAMETERS) or {}, structures.to_table)
    ]


def _tell(stages: dict[str, dict[str, Any]], structures: Any, site: Site, request: Request) -> None:
    from aiida_pet.campaigns.plans import unsupported_elements, unsupported_rows
    from aiida_pet.workchains.screening import parameters_of

    table = structures.to_table()
    sizes = table.n_atoms
    jobs_of = {stage: task for stage in stages if (task := task_of(stage)) is not None}
    expected = {
        stage: site.estimate(task, sizes, request.job_duration, stages[stage].get(PARAMETERS))
        for stage, task in jobs_of.items()
    }
    if request.as_json:
        record = {
            "rows": len(structures),
            "stages": stages,
            "wall_s_if_all_rows_came_so_far": {stage: one.wall_s for stage, one in expected.items()},
            "jobs_if_all_rows_came_so_far": {stage: one.jobs for stage, one in expected.items()},
        }
        echo_json(record | {"options": site.options, "notes": _notes(stages, structures)})
        return
    lines, told_options_of = [], {}
    for stage, options in stages.items():
        shown = {name: value for name, value in options.items() if name not in ("keep", "parameters")}
        told = assigned(shown | parameters_of(stage, stages))
        one = expected.get(stage)
        jobs, time = (f"at most {one.jobs}", f"at most {duration(one.wall_s)}") if one else ("-", "-")
        lines.append((stage, options.get("keep") or "every row with an answer", jobs, time))
        told_options_of[stage] = told
    say(f"{plural(len(structures), 'crystal')}, model {site.model.name} <{site.model.pk}>")
    echo_table(lines, ("stage", "goes on", "jobs", "time"), once=False)
    click.echo("options")
    echo_pairs({f"  {stage}": told for stage, told in told_options_of.items()})
    say(f"each job asks for {told_options(site.options)}")
    note("jobs and times assume that every row passes every stage")
    if Task.CONDUCTIVITY in jobs_of.values():
        note(
            "the time of conductivities is that of the forces, without the transport: `aiida-pet launch conductivity "
            "--dry-run` estimates both"
        )
    for text in _notes(stages, structures):
        note(f"Warning: {text}")
    note_elsewhere(expected.values(), site)
    unsupported = unsupported_elements(table, site.model)
    if unsupported:
        count = unsupported_rows(table, site.model)
        note(
            f"Warning: {site.model.name} does not know {shortened(unsupported)}: {plural(count, 'crystal')} "
            f"of {len(table):,} will end as unsupported_element"
        )
    click.echo("nothing was started")
