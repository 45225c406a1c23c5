// Draws the figures one after the other, and reads the page again while the campaign goes on.
(async () => {
  if (!R.canUnpack()) document.getElementById("old-browser").hidden = false;
  for (const button of document.querySelectorAll("[data-csv]"))
    button.addEventListener("click", () => R.save(`${button.dataset.csv}.csv`, R.csv(R.data.figures[button.dataset.csv].columns)));

  for (const link of document.querySelectorAll("nav a")) // the address is kept for what was chosen
    link.addEventListener("click", (event) => { event.preventDefault(); document.querySelector(link.getAttribute("href")).scrollIntoView(); });

  const again = R.data.refresh_s, hold = document.getElementById("hold");
  if (again) {
    if ("y" in R.state) requestAnimationFrame(() => window.scrollTo(0, Number(R.state.y)));
    hold.checked = R.state.hold === "1";
    hold.addEventListener("change", () => R.remember("hold", hold.checked ? "1" : ""));
  }

  const figures = [...document.querySelectorAll("figure[data-figure]")].filter((frame) => R.data.figures[frame.dataset.figure]);
  for (const frame of figures) {
    await R.drawFigure(frame.querySelector(".plot"), R.data.figures[frame.dataset.figure]);
    await new Promise((resolve) => setTimeout(resolve, 0)); // the page stays alive
  }
  if (R.data.table && R.data.table.ids.length) {
    const wanted = R.state.id !== undefined ? R.indexOf(R.state.id) : -1;
    await R.choose(wanted >= 0 ? wanted : R.data.table.best[0] ?? 0, true);
  }
  if (again && "y" in R.state) window.scrollTo(0, Number(R.state.y));
  document.body.dataset.ready = "yes";
  if (again) { // counted from here: a slow machine must not begin again before it is through
    setInterval(() => {
      if (hold.checked || document.visibilityState === "hidden") return;
      R.remember("y", Math.round(window.scrollY));
      R.flush();
      location.reload();
    }, 1000 * again);
  }
})();
