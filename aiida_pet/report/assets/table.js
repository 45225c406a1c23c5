// The table of rows: sorts, filters, and draws only the rows that are in sight.
(() => {
  const table = R.data.table;
  if (!table) return;
  const HEIGHT = 28, MARGIN = 12;
  const frame = document.getElementById("table"), counter = document.getElementById("count");
  const find = document.getElementById("find"), choice = document.getElementById("columns");
  const all = table.columns, ids = table.ids;
  let shown = [], order = [], sort = R.state.sort || "", chosen = -1;
  const filters = {};
  for (const [key, value] of Object.entries(R.state)) if (key.startsWith("f.")) filters[key.slice(2)] = value;
  const texts = ids.map((id, i) =>
    [id, ...all.filter((c) => c.kind === "text").map((c) => c.values[i])].join("\n").toLowerCase());

  const compare = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    "=": (a, b) => a === b, "==": (a, b) => a === b, "!=": (a, b) => a !== b };
  const NUMBER = "[-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:[eE][-+]?\\d+)?";
  const ONE = new RegExp(`^(<=|>=|==|!=|<|>|=)?\\s*(${NUMBER})$`);
  const RANGE = new RegExp(`^(${NUMBER})\\s*\\.\\.\\s*(${NUMBER})$`);

  // Returns what decides on a value; null for a condition that is not finished or no such.
  R.condition = (text, kind) => {
    const asked = text.trim();
    if (kind === "flag") {
      const wanted = /^(y|yes|true|1)$/i.test(asked) ? true : /^(n|no|false|0)$/i.test(asked) ? false : null;
      return wanted === null ? null : (value) => value === wanted;
    }
    if (kind === "text") {
      const not = asked.startsWith("!"), part = asked.replace(/^(!=?|==?)\s*/, "").toLowerCase();
      return (value) => String(value ?? "").toLowerCase().includes(part) !== not;
    }
    const range = RANGE.exec(asked), one = ONE.exec(asked);
    const known = (value) => value !== null && !Number.isNaN(value);
    if (range) return (value) => known(value) && value >= Number(range[1]) && value <= Number(range[2]);
    if (one) return (value) => known(value) && compare[one[1] || "="](value, Number(one[2]));
    return null;
  };

  const column = (name) => (name === "id" ? { name: "id", kind: "text", values: ids } : all.find((c) => c.name === name));

  const select = () => {
    const words = find.value.trim().toLowerCase();
    const tests = Object.entries(filters).map(([name, text]) => [column(name), text]).filter(([c, text]) => c && text.trim())
      .map(([c, text]) => [c, R.condition(text, c.kind)]);
    for (const input of frame.querySelectorAll("input")) {
      const bad = tests.some(([c, test]) => c.name === input.name && !test);
      input.setAttribute("aria-invalid", String(bad));
      input.style.background = bad ? "#fbe9dd" : "";
    }
    order = [];
    for (let i = 0; i < ids.length; i++) {
      if (words && !texts[i].includes(words)) continue;
      if (tests.every(([c, test]) => !test || test(c.values[i]))) order.push(i);
    }
    const by = column(sort.replace(/^-/, ""));
    if (by) {
      const sign = sort.startsWith("-") ? -1 : 1, v = by.values;
      const missing = (x) => x === null || x === "" || x === undefined;
      const less = by.kind === "text" ? (a, b) => String(a).localeCompare(String(b), "en", { numeric: true }) : (a, b) => a - b;
      order.sort((a, b) => missing(v[a]) || missing(v[b]) ? missing(v[a]) - missing(v[b]) || a - b : sign * less(v[a], v[b]) || a - b);
    }
    const whole = table.total > ids.length ? ` (the page holds ${ids.length.toLocaleString("en")} of ${table.total.toLocaleString("en")})` : "";
    counter.textContent = `${order.length.toLocaleString("en")} of ${ids.length.toLocaleString("en")} rows${whole}`;
    body.style.height = `${order.length * HEIGHT}px`;
    frame.style.height = `${Math.min(560, head.offsetHeight + Math.max(order.length, 3) * HEIGHT + 20)}px`;
    draw(true);
  };

  const width = (c) => (c.name === "id" ? 150 : c.kind === "text" ? (c.long ? 260 : 110) : Math.min(Math.max(86, 24 + 8 * c.name.length), 190));
  let head, body, drawn = [-1, -1];

  const draw = (anew) => {
    const top = Math.max(0, Math.floor(frame.scrollTop / HEIGHT) - MARGIN);
    const bottom = Math.min(order.length, Math.ceil((frame.scrollTop + frame.clientHeight) / HEIGHT) + MARGIN);
    if (!anew && drawn[0] === top && drawn[1] === bottom) return;
    drawn = [top, bottom];
    body.replaceChildren(...order.slice(top, bottom).map((i, k) => {
      const cells = shown.map((c) => {
        const value = c.values[i];
        const text = c.kind === "text" ? String(value ?? "") : R.number(value, c.digits);
        return R.make("div", { class: (c.kind === "number" ? "number" : "") + (c.name === "id" ? " first" : ""),
          title: text.length > 12 ? text : null }, text);
      });
      const row = R.make("div", { class: `row${i === chosen ? " chosen" : ""}`, "data-row": i,
        style: `top:${(top + k) * HEIGHT}px;grid-template-columns:${head.style.gridTemplateColumns}` }, ...cells);
      return row;
    }));
  };

  const build = () => {
    shown = [column("id"), ...all.filter((c) => choice.value === "all" || c.few)];
    const template = shown.map((c) => `${width(c)}px`).join(" ");
    const total = shown.reduce((sum, c) => sum + width(c), 0);
    head = R.make("div", { class: "head", style: `grid-template-columns:${template};width:${total}px` },
      ...shown.map((c) => R.make("div", { class: c.name === "id" ? "first" : "", "data-name": c.name },
        R.make("button", { type: "button", title: c.meaning || c.name, onclick: () => turn(c.name) }, c.name),
        R.make("small", {}, c.unit || ""),
        R.make("input", { name: c.name, value: filters[c.name] || "", "aria-label": `Condition on ${c.name}`, autocomplete: "off",
          spellcheck: "false", oninput: (event) => { filters[c.name] = event.target.value; R.remember(`f.${c.name}`, event.target.value); select(); } }))));
    body = R.make("div", { class: "body", style: `width:${total}px` });
    body.addEventListener("click", (event) => {
      const row = event.target.closest("[data-row]");
      if (row) R.choose(Number(row.dataset.row));
    });
    frame.replaceChildren(head, body);
    mark();
    select();
  };
  const mark = () => {
    for (const cell of head.children) {
      const name = cell.dataset.name, by = sort.replace(/^-/, "");
      cell.setAttribute("aria-sort", name !== by ? "none" : sort.startsWith("-") ? "descending" : "ascending");
      cell.querySelector("button").textContent = name + (name !== by ? "" : sort.startsWith("-") ? " ▼" : " ▲");
    }
  };
  const turn = (name) => {
    sort = sort === name ? `-${name}` : sort === `-${name}` ? "" : name;
    R.remember("sort", sort);
    mark();
    select();
  };

  R.markRow = (index) => { chosen = index; draw(true); };
  find.value = R.state.find || "";
  choice.value = R.state.columns === "all" ? "all" : "few";
  find.addEventListener("input", () => { R.remember("find", find.value); select(); });
  choice.addEventListener("change", () => { R.remember("columns", choice.value === "all" ? "all" : ""); build(); });
  document.getElementById("clear").addEventListener("click", () => {
    for (const name of Object.keys(filters)) { delete filters[name]; R.remember(`f.${name}`, ""); }
    find.value = "";
    R.remember("find", "");
    build();
  });
  document.getElementById("save").addEventListener("click", () => {
    const chosenColumns = [column("id"), ...all];
    R.save("rows.csv", R.csv(Object.fromEntries(chosenColumns.map((c) => [c.unit ? `${c.name} (${c.unit})` : c.name, order.map((i) => c.values[i])]))));
  });
  frame.addEventListener("scroll", () => { draw(false); R.remember("row", Math.round(frame.scrollTop / HEIGHT) || ""); });
  window.addEventListener("beforeprint", () => { body.replaceChildren(); drawn = [-1, -1]; drawForPrint(); });
  window.addEventListener("afterprint", () => draw(true));
  const drawForPrint = () => { // the first two hundred: paper does not scroll
    const height = frame.clientHeight, top = frame.scrollTop;
    Object.defineProperty(frame, "clientHeight", { value: 200 * HEIGHT, configurable: true });
    Object.defineProperty(frame, "scrollTop", { value: 0, configurable: true });
    draw(true);
    delete frame.clientHeight;
    delete frame.scrollTop;
    void height, top;
  };
  build();
  frame.scrollTop = Number(R.state.row || 0) * HEIGHT;
  draw(true);
})();
