"""A report opened in a headless browser: what it asked for, what it complained of, and what stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_MS = 60_000
FIGURE = """
(name) => R.data.figures[name] || Object.values(R.data.details).flat().find((one) => one.name === name) || null
"""
ROWS = """
(rows) => rows.sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top))
  .map((one) => one.firstChild.textContent)
"""
MARKS = """
([frame, figure]) => {
  const div = frame.querySelector(".plot"), count = (what) => div.querySelectorAll(what).length;
  const rows = Object.values(figure.columns)[0].length, o = figure.options;
  const wanted = { bars: () => [count(".barlayer .point path"), rows * o.series.length],
    histogram: () => [count(".barlayer .point path"), rows * o.series.length],
    binary: () => [count(".scatterlayer .points path"), rows],
    ternary: () => [count(".scatterlayer .points path"), rows],
    parity: () => [count(".scatterlayer .points path"), rows],
    steps: () => [count(".scatterlayer .points path"), rows],
    lines: () => [count(".scatterlayer .js-line"), o.panels.length],
    bands: () => [count(".scatterlayer .js-line"),
      o.branches.length * new Set(figure.columns.segment).size + (o.dos ? 1 : 0)],
    periodic: () => [count("[data-mark]"), rows],
    table: () => [count("tbody tr"), rows],
    tensor: () => [count("tbody td"), 36],
    young: () => [count("polygon"), rows - o.n_phi] };
  return [figure.name, ...wanted[figure.kind](), div.dataset.drawn || ""];
}
"""


@dataclass
class Opened:
    """A page.

    :ivar page: of playwright.
    :ivar complaints: errors of the console and of scripts.
    :ivar asked: addresses that it asked for, but for its own.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def marks(self) -> list[tuple[str, int, int, str]]:
        """Return of each figure: name, marks that are there, marks that its data make, and the kind that was drawn."""
        found = []
        for frame in self.page.query_selector_all("figure[data-figure]"):
            name = frame.get_attribute("data-figure")
            figure = self.page.evaluate(FIGURE, name)
            if figure is not None:
                found.append(tuple(self.page.evaluate(MARKS, [frame, figure])))
        return found

    def ids(self) -> list[str]:
        """Return the ids in the rows of the table that are drawn, from the top."""
        return self.page.eval_on_selector_all("#table .row", ROWS)  # type: ignore[no-any-return]


@contextmanager
def opened(browser: Any, path: Path, width: int = 1400) -> Iterator[Opened]:
    """Open a file in a window of its own, and wait until all is drawn."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    found = Opened(page)
    page.on(
        "console", lambda message: found.complaints.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready=yes]", timeout=READY_MS)
    found.asked = [url for url in found.asked if not url.startswith((path.as_uri(), "data:", "blob:"))]
    yield found
    context.close()
