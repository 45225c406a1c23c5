// Figures by kind. Each is drawn from its columns, the same that its csv has.
(() => {
  const E = R.escaped;
  const FONT = { family: 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif', size: 12, color: "#1c2733" };
  const AXIS = { automargin: true, gridcolor: "#e6ebef", zerolinecolor: "#aab4bd", linecolor: "#aab4bd", ticks: "outside", tickcolor: "#aab4bd", ticklen: 4, exponentformat: "e" };
  const axis = (title, more = {}) => ({ ...AXIS, title: { text: E(title), standoff: 6 }, ...more });
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg" } };
  const layout = (height, more) => ({ height, font: FONT, margin: { l: 52, r: 14, t: 14, b: 44 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
    hoverlabel: { align: "left" }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, colorway: R.COLOURS, ...more });
  const withUnit = (name, unit) => (unit ? `${name} (${unit})` : name);
  const distinct = (values) => [...new Set(values)];
  const pick = (columns, keep) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values.filter((_, i) => keep(i))]));

  // A click on a point chooses its row.
  const choosable = (div, idsOf) => div.on("plotly_click", (event) => {
    const id = idsOf(event.points[0]);
    const index = id === undefined ? -1 : R.indexOf(id);
    if (index >= 0) R.choose(index);
  });

  const hoverOf = (columns, names) => columns[names[0]].map((_, i) =>
    names.filter((name) => columns[name] && columns[name][i] !== "" && columns[name][i] !== null)
      .map((name) => (name === "id" ? `<b>${E(columns.id[i])}</b>` : name === "formula" ? E(columns[name][i]) : `${E(name)}: ${E(R.number(columns[name][i]))}`)).join("<br>"));

  const draw = {
    // category, and one column of counts per series, side by side or stacked
    bars(div, f) {
      const { category, series, across, stacked, x_title: title, unit } = f.options;
      const c = f.columns, labels = c[category].map((v) => (v === "" || v === null ? "no value" : String(v)));
      const traces = series.map((name, k) => ({ type: "bar", name: E(name), orientation: across ? "h" : "v", marker: { color: R.COLOURS[k % 8],
        pattern: { shape: ["", "/", "x", ".", "\\", "-", "|", "+"][k % 8], fillmode: "overlay", fgcolor: "#ffffff", fgopacity: 0.7, solidity: 0.2, size: 7 } },
        [across ? "y" : "x"]: labels.map(E), [across ? "x" : "y"]: c[name],
        hovertext: c[name].map((v, i) => `${E(labels[i])}<br>${E(name)}: ${R.number(v)}${unit ? ` ${E(unit)}` : ""}`), hoverinfo: "text",
        text: series.length === 1 ? c[name].map((v) => R.number(v, 3)) : undefined, textposition: "auto", cliponaxis: false }));
      const words = axis("", { type: "category", ...(across ? { autorange: "reversed" } : {}) }), numbers = axis(withUnit(title || "", unit), { rangemode: "tozero" });
      return Plotly.newPlot(div, traces, layout(across ? Math.max(170, 70 + 26 * labels.length * (stacked ? 1 : Math.max(1, series.length / 1.6))) : 300,
        { barmode: stacked ? "stack" : "group", showlegend: series.length > 1, [across ? "yaxis" : "xaxis"]: words, [across ? "xaxis" : "yaxis"]: numbers }), CONFIG);
    },
    histogram(div, f) {
      const { name, unit, series, marks } = f.options, c = f.columns;
      const middle = c.low.map((low, i) => (low + c.high[i]) / 2), width = c.low.map((low, i) => c.high[i] - low);
      const traces = series.map((s, k) => ({ type: "bar", name: E(s), x: middle, width, y: c[s], marker: { color: R.COLOURS[k % 8], opacity: series.length > 1 ? 0.6 : 1,
        line: { color: "#fff", width: 0.5 } }, hovertext: c[s].map((v, i) => `${R.number(c.low[i])} to ${R.number(c.high[i])}<br>${v} rows`), hoverinfo: "text" }));
      const shapes = (marks || []).map((m) => ({ type: "line", x0: m, x1: m, yref: "paper", y0: 0, y1: 1, line: { color: "#000", width: 1.5, dash: "dash" } }));
      return Plotly.newPlot(div, traces, layout(260, { barmode: "overlay", bargap: 0, showlegend: series.length > 1, shapes,
        xaxis: axis(withUnit(name, unit)), yaxis: axis("rows", { rangemode: "tozero" }) }), CONFIG);
    },
    // points over the atomic fraction of one element, and the line of the hull below them
    async binary(div, f) {
      const { x, x_title: across, y_title: up, line } = f.options, c = f.columns;
      const traces = [{ type: "scatter", mode: "lines", x: line[0], y: line[1], line: { color: "#0072B2", width: 1.5 }, hoverinfo: "skip", showlegend: false }];
      for (const [which, name, marker] of [
        [false, "above the hull", { color: "#D55E00", symbol: "diamond-open", size: 7, line: { width: 1.4 } }],
        [true, "on the hull", { color: "#0072B2", symbol: "circle", size: 9, line: { width: 1, color: "#fff" } }]]) {
        const part = pick(c, (i) => c.on_hull[i] === which);
        if (part.id.length) traces.push({ type: "scatter", mode: "markers", name, x: part[x], y: part.formation_energy, customdata: part.id, marker,
          hovertext: hoverOf(part, f.options.hover), hoverinfo: "text" });
      }
      await Plotly.newPlot(div, traces, layout(330, { xaxis: axis(across, { range: [-0.03, 1.03] }), yaxis: axis(up) }), CONFIG);
      choosable(div, (point) => point.customdata);
    },
    // compositions in a triangle, the edges of the hull's pieces between them
    async ternary(div, f) {
      const c = f.columns, [a, b, d] = f.options.elements, height = Math.sqrt(3) / 2;
      const place = (fractions) => [fractions[1] + fractions[2] / 2, fractions[2] * height];
      const places = c.id.map((_, i) => place([a, b, d].map((symbol) => c[`x_${symbol}`][i])));
      const corners = f.options.corners.map(place), lines = { x: [], y: [] };
      for (const [i, j] of f.options.edges) { lines.x.push(corners[i][0], corners[j][0], null); lines.y.push(corners[i][1], corners[j][1], null); }
      const traces = [
        { type: "scatter", mode: "lines", x: [0, 1, 0.5, 0], y: [0, 0, height, 0], line: { color: "#5b6875", width: 1 }, hoverinfo: "skip", showlegend: false },
        { type: "scatter", mode: "lines", ...lines, line: { color: "#0072B2", width: 1.2 }, hoverinfo: "skip", showlegend: false }];
      const most = Math.max(1e-6, ...c.e_above_hull.map((v) => v ?? 0));
      for (const which of [false, true]) {
        const there = c.id.map((_, i) => i).filter((i) => c.on_hull[i] === which);
        if (!there.length) continue;
        const part = pick(c, (i) => c.on_hull[i] === which);
        const marker = which ? { color: "#0072B2", size: 10, line: { color: "#fff", width: 1 } }
          : { color: part.e_above_hull.map((v) => v ?? 0), colorscale: "Cividis", reversescale: true, cmin: 0, cmax: most, size: 8, symbol: "diamond", line: { color: "#37424d", width: 0.6 },
            colorbar: { title: { text: "above the hull (eV/atom)", side: "right" }, thickness: 8, len: 0.7, x: 1, xanchor: "right" } };
        traces.push({ type: "scatter", mode: "markers", name: which ? "on the hull" : "above the hull", x: there.map((i) => places[i][0]), y: there.map((i) => places[i][1]),
          customdata: part.id, marker, hovertext: hoverOf(part, f.options.hover), hoverinfo: "text" });
      }
      const corner = (x, y, text, yshift, xanchor) => ({ x, y, text: E(text), showarrow: false, yshift, xanchor, font: { ...FONT, size: 14 } });
      await Plotly.newPlot(div, traces, layout(360, { margin: { l: 24, r: 24, t: 20, b: 30 }, xaxis: { visible: false, range: [-0.06, 1.06] },
        yaxis: { visible: false, scaleanchor: "x", range: [-0.12, 1] }, legend: { orientation: "h", y: -0.02 },
        annotations: [corner(0, 0, a, -14, "right"), corner(1, 0, b, -14, "left"), corner(0.5, height, d, 12, "center")] }), CONFIG);
      choosable(div, (point) => point.customdata);
    },
    async parity(div, f) {
      const c = f.columns, { x_title: x, y_title: y } = f.options;
      const all = [...c.reference, ...c.value], low = Math.min(...all), high = Math.max(...all);
      const traces = [{ type: "scatter", mode: "lines", x: [low, high], y: [low, high], line: { color: "#5b6875", dash: "dash", width: 1 }, hoverinfo: "skip", showlegend: false }];
      for (const which of [false, true]) {
        const part = pick(c, (i) => c.outlier[i] === which);
        if (part.id.length) traces.push({ type: "scatter", mode: "markers", name: which ? "outliers" : "pairs", x: part.reference, y: part.value, customdata: part.id,
          marker: which ? { color: "#D55E00", symbol: "diamond", size: 7 } : { color: "#0072B2", size: 6, opacity: 0.6 }, hovertext: hoverOf(part, f.options.hover), hoverinfo: "text" });
      }
      await Plotly.newPlot(div, traces, layout(330, { showlegend: c.outlier.includes(true), xaxis: axis(x), yaxis: axis(y) }), CONFIG);
      choosable(div, (point) => point.customdata);
    },
    // rows (lane, t, done): a staircase per lane
    steps(div, f) {
      const c = f.columns, lanes = distinct(c.lane);
      const traces = lanes.map((lane, k) => {
        const part = pick(c, (i) => c.lane[i] === lane);
        return { type: "scatter", mode: "lines+markers", line: { color: R.COLOURS[k % 8], dash: R.DASHES[Math.floor(k / 8) % 4] }, marker: { size: 5, symbol: R.SYMBOLS[k % 8] }, name: E(lane), x: part.t, y: part.rows };
      });
      return Plotly.newPlot(div, traces, layout(300, { showlegend: lanes.length > 1, xaxis: axis(withUnit("time since the first job began", f.options.unit), { rangemode: "tozero" }), yaxis: axis(f.options.y_title || "rows done", { rangemode: "tozero" }) }), CONFIG);
    },
    // one panel for each y over a common x
    lines(div, f) {
      const { x_title, panels } = f.options, c = f.columns, traces = [], more = {};
      panels.forEach((panel, k) => {
        const n = k ? k + 1 : "";
        panel.columns.forEach((name, m) => traces.push({ type: "scatter", mode: "lines", x: c[f.options.x], y: c[name], xaxis: "x", yaxis: `y${n}`, name: E(name), line: { color: R.COLOURS[(k + m) % 8], dash: R.DASHES[m % 4], width: 2 } }));
        const part = 1 / panels.length;
        more[`yaxis${n}`] = axis(panel.title, { domain: [1 - (k + 1) * part + (k + 1 < panels.length ? 0.06 : 0), 1 - k * part] });
      });
      return Plotly.newPlot(div, traces, layout(Math.max(260, 120 * panels.length), { showlegend: panels.some((panel) => panel.columns.length > 1), xaxis: axis(x_title, { anchor: `y${panels.length > 1 ? panels.length : ""}` }), ...more }), CONFIG);
    },
    // segments of branches over the length of the path, and the density of states beside them
    bands(div, f) {
      const { ticks, labels, branches, unit, dos } = f.options, c = f.columns, traces = [];
      const segments = distinct(c.segment);
      segments.forEach((segment, k) => {
        const part = pick(c, (i) => c.segment[i] === segment);
        for (const branch of branches) traces.push({ type: "scatter", mode: "lines", x: part.distance, y: part[branch], line: { color: "#0072B2", width: 1.3 }, showlegend: false, name: E(branch), hovertemplate: `%{y:.3f} ${E(unit)}<extra>${E(branch)}</extra>` });
      });
      const right = dos ? 0.74 : 1, end = Math.max(...c.distance);
      if (dos) traces.push({ type: "scatter", mode: "lines", x: dos.density, y: dos.frequency, xaxis: "x2", line: { color: "#000", width: 1.3 }, fill: "tozerox", fillcolor: "rgba(86,180,233,.35)", showlegend: false, hovertemplate: "%{y:.3f} THz<extra>DOS</extra>" });
      return Plotly.newPlot(div, traces, layout(340, { shapes: [...ticks.map((t) => ({ type: "line", x0: t, x1: t, yref: "paper", y0: 0, y1: 1, line: { color: "#aab4bd", width: 1 } })),
        { type: "line", x0: 0, x1: end, y0: 0, y1: 0, line: { color: "#D55E00", width: 1, dash: "dash" } }],
        xaxis: axis("", { domain: [0, right], range: [0, end], tickvals: ticks, ticktext: labels.map(E), showgrid: false }), yaxis: axis(`frequency (${unit})`, { zeroline: false }),
        ...(dos ? { xaxis2: axis("DOS", { domain: [right + 0.03, 1], anchor: "y", showticklabels: false, ticks: "", rangemode: "tozero" }) } : {}) }), CONFIG);
    },
    // the periodic table of counts, with failures and errors where there are any
    periodic(div, f) {
      const c = f.columns, most = Math.max(1, ...c.count), at = Object.fromEntries(c.element.map((symbol, i) => [symbol, i]));
      const cells = Object.values(R.data.elements).filter((e) => e.place).map((e) => {
        const i = at[e.symbol], [row, column] = e.place;
        const style = `grid-row:${row};grid-column:${column}`;
        if (i === undefined) return R.make("div", { style }, R.make("b", {}, e.symbol));
        const share = Math.log1p(c.count[i]) / Math.log1p(most), failed = c.failed[i];
        const told = [`${e.symbol}: ${c.count[i]} crystals`, `${failed} without an answer`, ...(c.error && c.error[i] !== null ? [`mean absolute error ${R.number(c.error[i], 3)} ${f.options.error_unit || ""}`] : [])].join(", ");
        return R.make("div", { class: `there${share > 0.55 ? " dark" : ""}`, style: `${style};background:rgba(0,90,142,${(0.08 + 0.85 * share).toFixed(3)})`, title: told, "data-mark": e.symbol },
          R.make("b", {}, e.symbol), R.make("small", {}, String(c.count[i])), ...(failed ? [R.make("small", { class: "fails" }, `${failed} ✗`)] : []),
          ...(c.error && c.error[i] !== null ? [R.make("small", {}, R.number(c.error[i], 2))] : []));
      });
      div.replaceChildren(R.make("div", { class: "elements" }, ...cells));
    },
    // a table of few rows, where numbers say more than a picture
    table(div, f) {
      const names = Object.keys(f.columns), number = (name) => f.columns[name].every((v) => typeof v === "number" || v === null);
      div.replaceChildren(R.make("div", { class: "scroll" }, R.make("table", { class: "plain" },
        R.make("thead", {}, R.make("tr", {}, ...names.map((name) => R.make("th", { class: number(name) ? "number" : "" }, name)))),
        R.make("tbody", {}, ...f.columns[names[0]].map((_, i) => R.make("tr", {}, ...names.map((name) => R.make("td", { class: number(name) ? "number" : "" }, R.number(f.columns[name][i])))))))));
    },
    young(div, f) {
      const holder = R.make("div", { class: "surface" });
      div.replaceChildren(holder, R.make("p", { class: "key" }, `${R.number(f.options.least, 4)} to ${R.number(f.options.most, 4)} GPa; drag to turn`));
      const { theta, phi, youngs_modulus: values } = f.columns, n = f.options.n_phi;
      const rows = [];
      for (let i = 0; i < values.length; i += n) rows.push(values.slice(i, i + n));
      R.drawSurface(holder, { theta: theta.filter((_, i) => i % n === 0), phi: phi.slice(0, n), modulus: rows }, f.alt);
    },
    tensor(div, f) {
      const axes = ["xx", "yy", "zz", "yz", "xz", "xy"];
      div.replaceChildren(R.make("div", { class: "scroll" }, R.make("table", { class: "plain" },
        R.make("thead", {}, R.make("tr", {}, R.make("th", {}), ...axes.map((a) => R.make("th", { class: "number" }, a)))),
        R.make("tbody", {}, ...axes.map((a) => R.make("tr", {}, R.make("th", {}, a), ...f.columns[a].map((v) => R.make("td", { class: "number" }, v === null ? "" : (Math.abs(v) < 0.05 ? 0 : v).toFixed(1)))))))));
    },
  };
  R.NEEDS_PLOTLY = new Set(["bars", "histogram", "binary", "ternary", "parity", "steps", "lines", "bands"]);

  R.drawFigure = async (div, figure) => {
    const first = Object.values(figure.columns)[0];
    if (!first || first.length === 0) { div.replaceChildren(R.make("p", { class: "empty" }, figure.options.empty || "nothing yet")); return; }
    if (R.NEEDS_PLOTLY.has(figure.kind)) {
      if (!R.canUnpack()) { draw.table(div, figure); return; }
      await R.library("plotly");
    }
    await draw[figure.kind](div, figure);
    if (div._fullLayout) div.style.height = `${div._fullLayout.height}px`; // which plotly asks for when the width changes
    div.dataset.drawn = figure.kind;
  };

  // The frame of a figure that is made here rather than in the page's text: those of one crystal.
  R.figureFrame = (figure) => {
    const div = R.make("div", { class: "plot", role: "img", "aria-label": figure.alt });
    const frame = R.make("figure", { class: `kind-${figure.kind}`, "data-figure": figure.name },
      R.make("figcaption", {}, R.make("b", {}, figure.title), ` ${figure.caption || ""}`,
        R.make("button", { type: "button", class: "csv", "aria-label": "Save the numbers of this figure as csv", onclick: () => R.save(`${figure.name}.csv`, R.csv(figure.columns)) }, "csv")), div);
    return [frame, div];
  };
})();
