"use strict";
// What all parts of the page share: its data, its state in the address, numbers in words, csv, elements of the DOM.
const R = { data: JSON.parse(document.getElementById("data").textContent) };

// Okabe and Ito's colours, which people of every kind of colour vision tell apart.
R.COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442"];
R.DASHES = ["solid", "dash", "dot", "dashdot"];
R.SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "x", "star", "triangle-down"];

R.make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children); // a text stays a text, whatever is in it
  return node;
};

// Texts of plotly are HTML of a kind: what came from outside is shown letter by letter.
R.escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

R.number = (value, digits = 5) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(Math.max(digits - 2, 1));
  return String(Number(value.toPrecision(digits)));
};

// -- state: in the address, so that it outlives a reload and can be sent along ---------------------------------
R.state = Object.fromEntries(new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : ""));
R.remember = (name, value) => {
  if (value === "" || value === null || value === undefined) delete R.state[name];
  else R.state[name] = String(value);
  waiting ??= setTimeout(R.flush, 150); // browsers refuse an address that changes hundreds of times in some seconds
};
let waiting = null;
R.flush = () => {
  clearTimeout(waiting);
  waiting = null;
  const text = new URLSearchParams(R.state).toString();
  history.replaceState(null, "", text ? `#?${text}` : location.pathname + location.search);
};

// -- csv ------------------------------------------------------------------------------------------------------------
const quoted = (value) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  let text = typeof value === "boolean" ? (value ? "True" : "False") : String(value);
  if (typeof value === "string" && /^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text))) text = `'${text}`; // no formula of a spreadsheet
  return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
};
R.csv = (columns) => {
  const names = Object.keys(columns);
  const length = Math.max(0, ...names.map((name) => columns[name].length));
  const lines = [names.map(quoted).join(",")];
  for (let i = 0; i < length; i++) lines.push(names.map((name) => quoted(columns[name][i])).join(","));
  return lines.join("\n") + "\n";
};
R.save = (name, text) => {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = R.make("a", { href: address, download: name.replace(/[^\w.-]+/g, "_") });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
};

// -- libraries, packed in the page ----------------------------------------------------------------------------------
const loaded = {};
R.library = (name) => {
  loaded[name] ??= (async () => {
    const packed = document.getElementById(`library-${name}`);
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    packed.textContent = "";
  })();
  return loaded[name];
};
R.canUnpack = () => typeof DecompressionStream === "function";

R.hasWebGL = () => {
  if (R.webgl === undefined) {
    try {
      const context = document.createElement("canvas").getContext("webgl2");
      R.webgl = Boolean(context);
      context?.getExtension("WEBGL_lose_context")?.loseContext();
    } catch { R.webgl = false; }
  }
  return R.webgl;
};
