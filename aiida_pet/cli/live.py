"""The live picture of a launch: redrawn in place on a terminal, in lines as wide as it, and plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.words import duration

if TYPE_CHECKING:
    from rich.text import Text

    from aiida_pet.campaigns.live import LaneLook, Look, StageLook

BAR = 20
"""Characters of a bar, on a terminal that is wide enough."""
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SLOW = 0.1
"""Rows per second below which it is said how long each takes."""
_STEP_S = 1.0
HasEnded = Callable[[], bool]
_SHARE = 0.1  # of a core, which engines on this machine lack
_QUIET_LINE_S = 60.0
"""A plain line comes when rows have come, and otherwise after so long."""


def follow_look(looks: Iterable[Look], interval: float, pk: int, has_ended: HasEnded) -> None:
    """Show ``looks`` until the last one.

    :param interval: seconds between two of them.
    :param pk: pk of the launch, for what is said if one leaves.
    :param has_ended: says, at little cost, whether the launch has ended.
    :raises click.exceptions.Exit: with status 130 if one leaves by Ctrl-C; the launch goes on.
    """
    from rich.console import Console

    # rich asks for NO_COLOR, TERM and the width of the terminal; FORCE_COLOR, which Jupyter sets, makes no terminal
    console = Console(stderr=True, highlight=False, soft_wrap=False, force_terminal=sys.stderr.isatty())
    try:
        show = _redraw if console.is_terminal and not console.is_dumb_terminal else _print
        show(console, looks, interval, has_ended)
    except KeyboardInterrupt:
        click.echo(f"<{pk}> goes on; `aiida-pet status {pk} --watch` shows it again", err=True)
        click.echo(f"`aiida-pet stop {pk}` stops it", err=True)
        raise click.exceptions.Exit(130) from None


def _paced(looks: Iterable[Look], interval: float, has_ended: HasEnded) -> Iterator[Look]:
    """Yield ``looks``, at least ``interval`` seconds apart, which take at most a tenth of a core's time.

    The last look comes soon after the launch has ended.
    """
    before = time.process_time()
    for look in looks:
        spent = time.process_time() - before
        yield look
        if not look.finished:
            time.sleep(interval)
            left = spent / _SHARE - interval
            while left > 0 and not has_ended():
                step = min(left, _STEP_S)
                time.sleep(step)
                left -= step
        before = time.process_time()


def _redraw(console: Any, looks: Iterable[Look], interval: float, has_ended: HasEnded) -> None:
    from rich.console import Group
    from rich.live import Live

    known: set[str] = set()
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for look in _paced(looks, interval, has_ended):
            for obstacle in (one for one in look.obstacles if one not in known):
                known.add(obstacle)
                console.print(obstacle, style="yellow", markup=False, width=console.width - 1)
            # the last column stays empty: some terminals begin a new line when it is written to
            live.update(
                Group(*picture(look, console.width - 1, console.height - 1, _has_blocks(console))),
                refresh=True,
            )


def _rounded(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 59.5 else duration(seconds)


def _has_blocks(console: Any) -> bool:
    return "utf" in str(console.encoding).lower()


def _print(_console: Any, looks: Iterable[Look], interval: float, has_ended: HasEnded) -> None:
    """Print a line when rows have come or something else than rows has changed, or after a minute."""
    from aiida_pet.campaigns.live import plain_line

    known: set[str] = set()
    last: tuple[Any, ...] = ()
    when = 0.0
    for look in _paced(looks, interval, has_ended):
        for obstacle in (one for one in look.obstacles if one not in known):
            known.add(obstacle)
            click.echo(obstacle, err=True)
        state = (
            [(stage.name, stage.state, stage.rows_done) for stage in look.stages],
            [lane.doing for lane in look.lanes],
            look.note,
            look.finished,
        )
        if state != last or time.monotonic() - when > _QUIET_LINE_S:
            left = "" if look.left_s is None else f", about {_rounded(look.left_s)} left"
            click.echo(f"{plain_line(look)}{left}", err=True)
            last, when = state, time.monotonic()


def picture(look: Look, width: int, height: int, blocks: bool = True) -> list[Text]:
    """Return the lines of a look, each at most ``width`` characters wide.

    :param height: most lines; lanes that have no place are counted.
    :param blocks: whether the terminal can show blocks; otherwise bars are of ``#``.
    """
    from rich.text import Text

    names = max([8, *(len(stage.name) + 1 for stage in look.stages)])
    room = max(8, min(BAR, width - names - 44))
    counts = max((len(_count(stage)) for stage in look.stages), default=0)
    lines = [_heading(look, width)]
    for stage in look.stages:
        line = Text(f"{stage.name:<{names}}", style="bold" if stage.state == "running" else "")
        line.append_text(_bar(stage, room, blocks))
        line.append(f" {_count(stage):>{counts}}  ", style="not bold")
        line.append(_remark(stage, look.unit), style="dim" if stage.state != "running" else "not bold")
        lines.append(line)
    if look.note:
        lines.append(Text(look.note, style="dim"))
    lanes = list(look.lanes)
    most = max(height - len(lines), 0)
    shown = lanes if len(lanes) <= most else lanes[: max(most - 1, 0)]
    lines += [_lane(lane, names) for lane in shown]
    if len(shown) < len(lanes) and most:
        lines.append(Text(f"and {len(lanes) - len(shown)} more lanes", style="dim"))
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
        line.truncate(width, overflow="ellipsis")
    return lines


def _heading(look: Look, width: int) -> Text:
    from rich.text import Text

    times = _rounded(look.elapsed_s)
    times += f", {look.progress.state}" if look.left_s is None else f", about {_rounded(look.left_s)} left"
    title = Text(look.title, style="bold")
    title.truncate(max(width - len(times) - 2, 8), overflow="ellipsis")
    gap = max(width - title.cell_len - len(times), 2)
    return title.append(" " * gap + times, style="not bold")


def _bar(stage: StageLook, room: int, blocks: bool) -> Text:
    from rich.text import Text

    share = min(stage.rows_done / stage.rows, 1.0) if stage.rows else float(stage.state == "done")
    style = {"done": "green", "running": "blue", "to come": "dim"}[stage.state]
    whole, eighths = divmod(round(8 * share * room), 8)
    partial = _EIGHTHS[eighths] if eighths else ""
    drawn = "█" * whole + partial if blocks else "#" * whole
    return Text(f"{drawn:<{room}}", style=style)


def _count(stage: StageLook) -> str:
    if stage.is_expected:
        return f"~{stage.rows:,}"
    return f"{stage.rows_done:,}/{stage.rows:,}"


def _remark(stage: StageLook, unit: str) -> str:
    if stage.state == "to come":
        return f"about {_rounded(stage.left_s)}" if stage.left_s > 0 else ""
    if stage.state == "done":
        condition = f" ({stage.keep})" if stage.keep else ""
        return f"{stage.rows_out:,} go on{condition}" if stage.rows_out is not None else ""
    parts = [f"{stage.rows_in_flight:,} in flight"] if stage.rows_in_flight else []
    parts += [_speed(stage.rate, unit)] if stage.rate else []
    return ", ".join([*parts, f"about {_rounded(stage.left_s)}"])


def _speed(rate: float, unit: str) -> str:
    """Return a rate, or how long each takes where that is easier to imagine."""
    if rate < _SLOW:
        return f"{_rounded(1 / rate)} per {unit}"
    return f"{rate:,.0f} {unit}s/s" if rate >= 100 else f"{rate:.2g} {unit}s/s"


def _lane(lane: LaneLook, names: int) -> Text:
    from rich.text import Text

    line = Text(f"{f'lane {lane.number}':<{names}}", style="dim")
    parts = [lane.doing, f"{lane.rows_done:,}/{lane.rows:,}"]
    parts += [f"{lane.rows_in_flight:,} in flight"] if lane.rows_in_flight else []
    parts += [_speed(lane.rate, "row")] if lane.rate else []
    return line.append(", ".join(parts))
