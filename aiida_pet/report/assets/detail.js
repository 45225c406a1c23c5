// One crystal: its structure in the page's one viewer, its values, and the figures that the page has of it.
(() => {
  const place = document.getElementById("detail"), chooser = document.getElementById("chooser");
  const table = R.data.table;
  R.indexOf = () => -1;
  R.choose = () => {};
  R.ready = Promise.resolve();
  if (!place || !table) return;
  const index = new Map(table.ids.map((id, i) => [id, i]));
  R.indexOf = (id) => index.get(id) ?? -1;
  let viewer = null, turn = 0;

  const holder = R.make("div", { class: "view flat" }, R.make("div", { class: "solid" }), R.make("div", { class: "drawn" }));
  const [solid, drawn] = holder.children;

  const showStructure = async (crystal, label) => {
    R.drawCrystal(drawn, crystal, label);
    if (!R.hasWebGL() || !R.canUnpack()) return;
    try {
      await R.library("3dmol");
      holder.classList.remove("flat");
      viewer ??= $3Dmol.createViewer(solid, { backgroundColor: "white", antialias: true });
      viewer.removeAllModels();
      viewer.removeAllShapes();
      const content = R.cellContent(crystal);
      const model = viewer.addModel();
      model.addAtoms(content.atoms.map(({ number, place: p }) => ({ elem: R.looks(number).symbol, x: p[0], y: p[1], z: p[2] })));
      for (const number of new Set(crystal.numbers))
        model.setStyle({ elem: R.looks(number).symbol }, { sphere: { radius: 0.42 * R.looks(number).radius, color: R.looks(number).colour } });
      for (const [from, to] of content.edges)
        viewer.addLine({ start: { x: from[0], y: from[1], z: from[2] }, end: { x: to[0], y: to[1], z: to[2] }, color: "#6b7782" });
      viewer.resize();
      viewer.zoomTo();
      viewer.zoom(1.25);
      viewer.rotate(20, "y");
      viewer.rotate(15, "x");
      viewer.render();
      holder.dataset.drawn = "webgl";
    } catch (error) { // a browser that promises WebGL and has none
      holder.classList.add("flat");
      holder.dataset.problem = String(error);
    }
  };

  const facts = (i) => {
    const values = table.columns.filter((c) => c.values[i] !== null && c.values[i] !== "" && c.values[i] !== undefined);
    return R.make("div", { class: "facts" }, R.make("h3", {}, table.ids[i]),
      R.make("dl", {}, ...values.filter((c) => c.few).map((c) => R.make("div", {}, R.make("dt", { title: c.meaning || "" }, c.name),
        R.make("dd", {}, `${R.number(c.values[i], c.digits)}${c.unit ? ` ${c.unit}` : ""}`)))),
      R.make("details", {}, R.make("summary", {}, `All ${values.length} values of the row`),
        R.make("dl", {}, ...values.map((c) => R.make("div", {}, R.make("dt", { title: c.meaning || "" }, c.name), R.make("dd", {}, `${R.number(c.values[i], 7)}${c.unit ? ` ${c.unit}` : ""}`))))));
  };

  R.choose = async (i, quietly = false) => {
    const now = ++turn, id = table.ids[i];
    R.remember("id", id);
    R.markRow(i);
    for (const button of chooser.children) button.setAttribute("aria-pressed", String(Number(button.dataset.row) === i));
    const crystal = table.structures[i], figures = R.data.details[id] || [];
    const frames = figures.map((figure) => [figure, ...R.figureFrame(figure)]);
    const parts = [facts(i)];
    if (crystal) {
      const used = [...new Set(crystal.numbers)];
      parts.push(R.make("figure", { class: "kind-structure", "data-figure": "structure" }, R.make("figcaption", {}, R.make("b", {}, "Structure"), ` ${crystal.numbers.length} ${crystal.numbers.length === 1 ? "atom" : "atoms"} in the cell; drag to turn`),
        holder, R.make("div", { class: "key" }, ...used.map((n) => R.make("span", {}, R.make("i", { style: `background:${R.looks(n).colour}` }), R.looks(n).symbol)))));
    } else parts.push(R.make("p", { class: "notice" }, table.no_structure));
    place.replaceChildren(...parts, ...frames.map(([, frame]) => frame));
    if (!quietly && place.getBoundingClientRect().top > innerHeight * 0.7) place.scrollIntoView({ block: "start" });
    else if (!quietly && place.getBoundingClientRect().bottom < 0) document.getElementById("best").scrollIntoView({ block: "start" });
    if (crystal) await showStructure(crystal, `Structure of ${id}: ${crystal.numbers.length} atoms in the cell`);
    for (const [figure, , div] of frames) { if (now !== turn) return; await R.drawFigure(div, figure); }
    place.dataset.chosen = id;
  };

  for (const i of table.best) chooser.append(R.make("button", { type: "button", "data-row": i, onclick: () => R.choose(i) }, table.ids[i]));
})();
