"""``aiida-pet setup computer``: a computer and the engine on it, made from a short file or questions, and tested."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from aiida_pet.cli.output import echo_check, echo_json, echo_step, json_option
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.computers.kinds import GpuSyntax, SchedulerName, TransportName

if TYPE_CHECKING:
    from aiida_pet.computers.checks import Check
    from aiida_pet.computers.computer_file import ComputerFile

NOT_ASKED = (
    "These questions do not cover all keys (docs/cluster.md lists them), such as kind of GPU, cores, memory, "
    "resources of PBS and SGE, shell lines and intervals. To set further keys, answer no, save the lines above as a "
    "file, add the keys, and run the command with this file. You can also do this later, with --update."
)


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--no-test",
    is_flag=True,
    help="Do not connect to the computer. The work directory is then not made and not closed to other users.",
)
@click.option(
    "--update",
    is_flag=True,
    help="Change everything that differs from FILE and has no effect on results: shell lines, intervals, defaults of "
    "jobs, connection.",
)
@json_option
@pass_session
def computer(session: Session, *, file: Path | None, no_test: bool, update: bool, as_json: bool) -> None:
    """Make and test the computer and the code that are described in the YAML FILE. Without FILE the command asks
    questions.

    If the work directory does not exist, the command makes it, and closes it to other users. The command does not
    change an existing computer or code; it prints the differences from FILE. The exit status is 1 if something differs
    or a test fails. With --update the command changes everything that has no effect on results. Host, transport,
    scheduler and work directory never change.

    \b
    aiida-pet setup computer FILE.yaml
    aiida-pet doctor --code pet-engine@LABEL --job
    """
    from aiida_pet.computers.checks import check_computer
    from aiida_pet.computers.computer_file import read_computer
    from aiida_pet.computers.file_setup import ensure_code, ensure_computer

    session.load()
    if file is None and as_json:
        raise click.UsageError("--json cannot ask: give a FILE")
    wanted = read_computer(file) if file is not None else _asked()
    if wanted is None:
        click.echo("nothing was made")
        return
    machine, computer_step = ensure_computer(wanted, update)
    code, code_step = ensure_code(wanted, machine)
    checks: list[Check] = []
    steps = [computer_step, code_step]
    if not as_json:
        for step in steps:
            echo_step(step)
    for check in () if no_test else check_computer(machine, code):
        checks.append(check)
        if not as_json:
            echo_check(check)
    problems = [step.problem for step in steps if step.problem]
    problems += [f"{check.what}: {check.detail}" for check in checks if not check.ok]
    if as_json:
        document = {"steps": [asdict(step) for step in steps], "checks": [asdict(check) for check in checks]}
        echo_json(document | {"problems": problems})
    else:
        for step in steps:
            if step.problem:
                click.echo(f"Warning: {step.problem}", err=True)
    if problems:
        raise click.exceptions.Exit(1)


def _asked() -> ComputerFile | None:
    """Return the computer of the answers, shown as the file that would say the same; None if it shall not be made.

    :raises ResourceError: for answers that do not fit.
    """
    from aiida_pet.computers.computer_file import parse_computer

    answers = _ask()
    click.echo(f"\nThe answers as a file:\n\n{yaml.safe_dump(answers, sort_keys=False)}\n{NOT_ASKED}\n")
    wanted = parse_computer(answers, "answers")
    return wanted if click.confirm("Make this computer?", default=True) else None


def _ask() -> dict[str, Any]:
    """Return the answers to the questions; the file may say more than is asked for here."""
    answers: dict[str, Any] = {"label": click.prompt("Label of the computer")}
    choice = click.Choice([name.value for name in TransportName])
    answers["transport"] = click.prompt("Transport: local, or ssh_async", type=choice, default="ssh_async")
    if answers["transport"] != "local":
        answers["hostname"] = click.prompt("Host, as in `ssh HOST` without a password")
    answers["scheduler"] = click.prompt(
        "Scheduler", type=click.Choice([name.value for name in SchedulerName]), default="slurm"
    )
    answers["work_dir"] = click.prompt("Folder for jobs on the computer", default="/scratch/{username}/aiida")
    answers["engine"] = click.prompt("Path of pet-engine on the computer")
    modules = click.prompt("Modules to load, with spaces between them", default="", show_default=False)
    answers["modules"] = modules.split()
    answers["environment"] = click.prompt(
        "Environment variables, as NAME=VALUE with spaces between them (empty for none)",
        default="",
        show_default=False,
        value_proc=_variables,
    )
    if answers["scheduler"] == "slurm":
        answers["gpu_syntax"] = click.prompt(
            "How SLURM is asked for GPUs",
            type=click.Choice([syntax.value for syntax in GpuSyntax]),
            default="gres",
        )
    resources: dict[str, Any] = {}
    if answers["scheduler"] == "direct":
        answers["gpus"] = click.prompt(
            "Number of GPUs of the computer", type=click.IntRange(min=0), default=0
        )
        return answers
    resources["gpus"] = click.prompt("Number of GPUs of a job", type=click.IntRange(min=0), default=1)
    for name, question in (
        ("partition", "Partition or queue"),
        ("account", "Account"),
        ("walltime", "Walltime"),
    ):
        given = click.prompt(f"{question} (empty for none)", default="", show_default=False)
        if given:
            resources[name] = given
    return answers | {"resources": resources}


def _variables(text: str) -> dict[str, str]:
    """Return the variables of ``NAME=VALUE ...``; a value with blanks stands in quotes, as in a shell.

    :raises click.BadParameter: for words that are no such, upon which it is asked again.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.BadParameter(f"{text}: {error}") from error
    pairs = [word.partition("=") for word in words]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise click.BadParameter(f"{name or text}: expected NAME=VALUE")
    return {name: value for name, _, value in pairs}
