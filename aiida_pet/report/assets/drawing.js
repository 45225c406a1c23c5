// Drawings of things in space by a projection of our own: crystals and the surface of Young's modulus, in SVG.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  R.svg = (tag, attributes, ...children) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  // Jmol's colours and covalent radii (A; Cordero et al. 2008) come with the data, by atomic number.
  const looks = (number) => R.data.elements[number] || { symbol: "?", colour: "#888888", radius: 1.4 };
  R.looks = looks;

  const turned = (angles) => {
    const [a, b] = angles, ca = Math.cos(a), sa = Math.sin(a), cb = Math.cos(b), sb = Math.sin(b);
    // first about z, then tipped towards the reader
    return ([x, y, z]) => {
      const u = ca * x + sa * y, v = -sa * x + ca * y;
      return [u, sb * v + cb * z, -cb * v + sb * z]; // right, up, towards the reader
    };
  };
  R.turned = turned;

  // Lets a drawing be turned by dragging; paint(angles) draws it.
  R.turnable = (svg, paint, angles = [0.5, 0.35]) => {
    let from = null;
    svg.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY, ...angles]; svg.setPointerCapture(event.pointerId); });
    svg.addEventListener("pointermove", (event) => {
      if (!from) return;
      angles[0] = from[2] + (event.clientX - from[0]) * 0.01;
      angles[1] = Math.max(-1.57, Math.min(1.57, from[3] + (event.clientY - from[1]) * 0.01));
      paint(angles);
    });
    for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, () => { from = null; });
    paint(angles);
  };

  // The atoms of a cell with their images on its faces and edges, and the edges of the cell.
  R.cellContent = (crystal) => {
    const { numbers, cell, positions, pbc } = crystal;
    const rows = [0, 1, 2].map((i) => cell.slice(3 * i, 3 * i + 3));
    const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    const volume = dot(rows[0], cross(rows[1], rows[2]));
    const inverse = [cross(rows[1], rows[2]), cross(rows[2], rows[0]), cross(rows[0], rows[1])];
    const atoms = [];
    numbers.forEach((number, index) => {
      const place = positions.slice(3 * index, 3 * index + 3);
      let images = [[0, 0, 0]], home = [0, 0, 0];
      if (Math.abs(volume) > 1e-6) {
        const scaled = inverse.map((row) => dot(row, place) / volume);
        home = scaled.map((s, axis) => (pbc[axis] ? -Math.floor(s + 1e-3) : 0));
        scaled.forEach((s, axis) => {
          const inside = s + home[axis];
          if (pbc[axis] && Math.abs(inside) < 0.02) images = images.flatMap((n) => [n, n.map((m, k) => m + (k === axis))]);
          else if (pbc[axis] && Math.abs(inside - 1) < 0.02) images = images.flatMap((n) => [n, n.map((m, k) => m - (k === axis))]);
        });
      }
      for (const image of images) {
        const moved = [0, 1, 2].map((k) => place[k] + [0, 1, 2].reduce((sum, axis) => sum + (image[axis] + home[axis]) * rows[axis][k], 0));
        atoms.push({ number, place: moved });
      }
    });
    const corner = (i, j, k) => [0, 1, 2].map((x) => i * rows[0][x] + j * rows[1][x] + k * rows[2][x]);
    const edges = [];
    for (const [i, j] of [[0, 0], [0, 1], [1, 0], [1, 1]])
      edges.push([corner(0, i, j), corner(1, i, j)], [corner(i, 0, j), corner(i, 1, j)], [corner(i, j, 0), corner(i, j, 1)]);
    return { atoms, edges: Math.abs(volume) > 1e-6 ? edges : [] };
  };

  R.drawCrystal = (holder, crystal, label) => {
    const content = R.cellContent(crystal);
    const points = [...content.atoms.map((atom) => atom.place), ...content.edges.flat()];
    const middle = [0, 1, 2].map((k) => (Math.min(...points.map((p) => p[k])) + Math.max(...points.map((p) => p[k]))) / 2);
    const reach = Math.max(1.5, ...points.map((p) => Math.hypot(...p.map((x, k) => x - middle[k])))) + 0.8;
    const svg = R.svg("svg", { viewBox: `${-reach} ${-reach} ${2 * reach} ${2 * reach}`, role: "img", "aria-label": label });
    const used = [...new Set(crystal.numbers)];
    const shades = R.svg("defs", {}, ...used.map((number) => R.svg("radialGradient", { id: `shade-${number}`, cx: "35%", cy: "30%", r: "75%" },
      R.svg("stop", { offset: "0%", "stop-color": "#fff" }), R.svg("stop", { offset: "35%", "stop-color": looks(number).colour }),
      R.svg("stop", { offset: "100%", "stop-color": looks(number).colour, "stop-opacity": "0.85" }))));
    holder.replaceChildren(svg);
    R.turnable(svg, (angles) => {
      const view = turned(angles), centred = (p) => view(p.map((x, k) => x - middle[k]));
      const parts = [];
      for (const [from, to] of content.edges) {
        const a = centred(from), b = centred(to);
        parts.push([(a[2] + b[2]) / 2, R.svg("line", { x1: a[0], y1: -a[1], x2: b[0], y2: -b[1], stroke: "#6b7782", "stroke-width": reach / 160 })]);
      }
      for (const atom of content.atoms) {
        const p = centred(atom.place), radius = 0.42 * looks(atom.number).radius;
        parts.push([p[2], R.svg("circle", { cx: p[0], cy: -p[1], r: radius, fill: `url(#shade-${atom.number})`, stroke: "#37424d",
          "stroke-width": reach / 300, class: "atom" }, R.svg("title", {}, looks(atom.number).symbol))]);
      }
      parts.sort((a, b) => a[0] - b[0]);
      svg.replaceChildren(shades, ...parts.map((part) => part[1]));
    });
  };

  // Viridis, which grows in lightness and so survives printing in grey.
  const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
  R.viridis = (share) => {
    const at = Math.max(0, Math.min(1, share)) * (VIRIDIS.length - 1), low = Math.min(Math.floor(at), VIRIDIS.length - 2), rest = at - low;
    const parts = [1, 3, 5].map((k) => Math.round((1 - rest) * parseInt(VIRIDIS[low].slice(k, k + 2), 16) + rest * parseInt(VIRIDIS[low + 1].slice(k, k + 2), 16)));
    return `rgb(${parts.join(",")})`;
  };

  // The surface of Young's modulus: its distance from the middle along a direction is the modulus along it.
  R.drawSurface = (holder, surface, label) => {
    const { theta, phi, modulus } = surface; // modulus[i][j] at theta[i], phi[j]
    const values = modulus.flat(), most = Math.max(...values), least = Math.min(...values);
    const at = (i, j) => {
      const t = theta[i], p = phi[j % phi.length], m = modulus[i][j % phi.length];
      return [m * Math.sin(t) * Math.cos(p), m * Math.sin(t) * Math.sin(p), m * Math.cos(t)];
    };
    const reach = 1.18 * most;
    const svg = R.svg("svg", { viewBox: `${-reach} ${-reach} ${2 * reach} ${2 * reach}`, role: "img", "aria-label": label });
    holder.replaceChildren(svg);
    R.turnable(svg, (angles) => {
      const view = turned(angles), faces = [];
      for (let i = 0; i + 1 < theta.length; i++) for (let j = 0; j < phi.length; j++) {
        const corners = [at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)].map(view);
        const mean = (modulus[i][j] + modulus[i + 1][(j + 1) % phi.length]) / 2;
        const colour = R.viridis(most > least ? (mean - least) / (most - least) : 0.5);
        faces.push([corners.reduce((sum, c) => sum + c[2], 0), R.svg("polygon", { points: corners.map((c) => `${c[0]},${-c[1]}`).join(" "),
          fill: colour, stroke: colour, "stroke-width": reach / 400 })]);
      }
      faces.sort((a, b) => a[0] - b[0]);
      const axes = [[[reach, 0, 0], "x"], [[0, reach, 0], "y"], [[0, 0, reach], "z"]].flatMap(([end, name]) => {
        const tip = view(end.map((x) => 0.96 * x)), text = R.svg("text", { x: tip[0], y: -tip[1], "font-size": reach / 11, "text-anchor": "middle", fill: "#1c2733" });
        text.textContent = name;
        return [R.svg("line", { x1: 0, y1: 0, x2: 0.92 * tip[0], y2: -0.92 * tip[1], stroke: "#5b6875", "stroke-width": reach / 200 }), text];
      });
      svg.replaceChildren(...axes, ...faces.map((face) => face[1]));
    });
  };
})();
