"""Plots as files: pictures, a page that needs nothing else, or the numbers behind."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from aiida_pet.plotting.style import Drawing, figure_of
from aiida_pet.words import either

PICTURES = (".svg", ".png", ".pdf")
SUFFIXES = (*PICTURES, ".html", ".csv")
"""What a plot can be written as; ``csv`` holds the numbers behind it."""
DPI = 160
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222 }}
svg {{ width: 100%; height: auto }}
figure {{ margin: 0 }}
figcaption {{ color: #555 }}
</style>
</head>
<body>
<figure role="img" aria-label="{title}">
{picture}
<figcaption>{title}{remarks}</figcaption>
</figure>
<p>{links}</p>
</body>
</html>
"""


def check_suffix(path: Path) -> None:
    """:raises ValueError: if a plot cannot be written as what ``path`` says."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a plot is written as {either(SUFFIXES)}")


def save(drawn: Any, path: str | Path) -> Path:
    """Write a plot to a file. The suffix sets the format: svg, png, pdf, html, or csv for the numbers behind the plot.

    The same plot always gives exactly the same file.

    :param drawn: axes, several of a figure, or a drawing.
    :raises ValueError: for another suffix, or for csv from axes, which do not have the numbers.

    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> save(Figure().subplots(), Path(tempfile.mkdtemp()) / "empty.svg").name
    'empty.svg'
    """
    target = Path(path)
    check_suffix(target)
    drawing = drawn if isinstance(drawn, Drawing) else Drawing(drawn, target.stem)
    suffix = target.suffix.lower()
    if suffix == ".csv":
        if not drawing.frames:
            raise ValueError(f"{target}: numbers cannot be written from axes; aiida_pet.figures returns them")
        target.write_text(_csv(_one_frame(drawing.frames)), encoding="utf-8")
    elif suffix == ".html":
        target.write_text(_page(drawing), encoding="utf-8")
    else:
        target.write_bytes(_picture(drawing, suffix.removeprefix(".")))
    return target


def _picture(drawing: Drawing, form: str) -> bytes:
    buffer = io.BytesIO()
    metadata: dict[str, Any] = {
        "svg": {"Date": None, "Title": drawing.title},
        "pdf": {"CreationDate": None, "Title": drawing.title},
        "png": {"Title": drawing.title, "Software": None},
    }[form]
    with mpl.rc_context({"svg.hashsalt": "aiida-pet", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure_of(drawing.axes).savefig(buffer, format=form, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def _page(drawing: Drawing) -> str:
    picture = _picture(drawing, "svg").decode()
    picture = picture[picture.index("<svg") :]
    links = [_link(name, frame) for name, frame in drawing.frames.items()]
    return _PAGE.format(
        title=html.escape(drawing.title),
        picture=picture,
        remarks="".join(f"<br>{html.escape(remark)}" for remark in drawing.remarks),
        links="The numbers: " + ", ".join(links) if links else "",
    )


def _link(name: str, frame: pd.DataFrame) -> str:
    content = base64.b64encode(_csv(frame).encode()).decode()
    shown = html.escape(name or "csv", quote=True)
    return f'<a download="{shown}.csv" href="data:text/csv;base64,{content}">{shown}</a>'


def _one_frame(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return all frames below each other, with a first column ``series`` where there are several."""
    if len(frames) == 1:
        return next(iter(frames.values()))
    parts = []
    for name, frame in frames.items():
        part = frame.copy()
        part.insert(0, "series", name)
        part.attrs = {}
        parts.append(part)
    both = pd.concat(parts, ignore_index=True)
    both.attrs["units"] = {k: v for frame in frames.values() for k, v in frame.attrs.get("units", {}).items()}
    return both


def _csv(frame: pd.DataFrame) -> str:
    units = frame.attrs.get("units", {})
    named = frame.rename(columns={name: f"{name} ({unit})" for name, unit in units.items() if unit})
    return str(named.to_csv(index=False, lineterminator="\n"))
