"use strict";
// A slider over pictures that differ in the position of one particle.
for (const slides of document.querySelectorAll(".slides")) {
  const figures = [...slides.querySelectorAll("figure")];
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "range", min: 0, max: figures.length - 1, value: 0 });
  const show = () => {
    figures.forEach((figure, i) => { figure.hidden = i !== Number(input.value); });
    const title = figures[input.value].querySelector("strong").textContent;
    input.setAttribute("aria-valuetext", title);
  };
  input.addEventListener("input", show);
  label.append("Position of one particle", input);
  slides.append(label);
  show();
}

// Energy against step: a cursor that follows pointer and arrow keys, runs to hide.
const place = document.getElementById("chart");
if (place) {
  const { label, unit, curves } = JSON.parse(document.getElementById("curves").textContent);
  const colors = ["#2166ac", "#d6604d", "#1b7837", "#762a83", "#666666", "#b35806"];
  const [height, left, bottom, top] = [320, 86, 36, 10];
  let width = 720; // of the page, so that texts are readable on a phone
  const namespace = "http://www.w3.org/2000/svg";
  const add = (parent, name, attributes, text) => {
    const node = parent.appendChild(document.createElementNS(namespace, name));
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const svg = add(place, "svg", { tabindex: 0,
    role: "img", "aria-label": "Energy against step; arrow keys move the cursor" });
  const readout = place.appendChild(document.createElement("p"));
  readout.className = "readout";
  readout.setAttribute("aria-live", "polite");
  const legend = place.appendChild(document.createElement("div"));
  legend.className = "legend";
  const shown = curves.map(() => true);
  let at = null;
  let scale = null;
  const ticks = (low, high, count = 5) => {
    const rough = (high - low) / count;
    const unitStep = 10 ** Math.floor(Math.log10(rough));
    const step = unitStep * [1, 2, 5, 10].find((m) => m * unitStep >= rough);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return found.map((value) => [value, value.toFixed(digits)]);
  };
  const draw = () => {
    width = Math.max(300, place.clientWidth);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    const seen = curves.filter((_, i) => shown[i]);
    const used = seen.length ? seen : curves;
    const steps = used.flatMap((curve) => curve.points.map((p) => p[0]));
    // the first fifth is off the scale
    const energies = used.flatMap((c) => c.points.slice(c.points.length / 5).map((p) => p[1]));
    used.forEach((c) => { if (c.reference !== null) energies.push(c.reference); });
    let low = Math.min(...energies);
    let high = Math.max(...energies);
    const margin = 0.08 * (high - low) || 1e-6 * Math.max(1, Math.abs(high));
    low -= margin; high += margin;
    const first = Math.min(...steps);
    const last = Math.max(...steps) + 1e-9;
    const x = (s) => left + (width - left - 10) * (s - first) / (last - first || 1);
    const y = (e) => top + (height - top - bottom) * (high - e) / (high - low);
    scale = (px) => first + (px - left) / (width - left - 10) * (last - first);
    for (const [value, text] of ticks(low, high)) {
      add(svg, "line", { x1: left, x2: width - 10, y1: y(value), y2: y(value), stroke: "#e4e8ec" });
      add(svg, "text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text);
    }
    for (const [value, text] of ticks(first, last, width < 500 ? 3 : 6)) {
      add(svg, "text", { x: x(value), y: height - bottom + 18, "text-anchor": "middle" }, text);
    }
    add(svg, "text", { x: (left + width) / 2, y: height - 2, "text-anchor": "middle" }, "step");
    add(svg, "text", { x: 12, y: height / 2, "text-anchor": "middle",
      transform: `rotate(-90 12 ${height / 2})` }, `${label} (${unit})`);
    const clip = add(add(svg, "defs", {}), "clipPath", { id: "inside" });
    add(clip, "rect", { x: left, y: top, width: width - left - 10, height: height - top - bottom });
    const texts = [];
    curves.forEach((curve, i) => {
      if (!shown[i]) return;
      const color = colors[i % colors.length];
      const d = curve.points.map((p, k) => `${k ? "L" : "M"}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`);
      add(svg, "path", { d: d.join(""), fill: "none", stroke: color, "stroke-width": 1.5, "clip-path": "url(#inside)" });
      if (curve.reference !== null) {
        add(svg, "line", { x1: left, x2: width - 10, y1: y(curve.reference), y2: y(curve.reference),
          stroke: color, "stroke-dasharray": "5 4" });
      }
      if (at === null) return;
      const near = curve.points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a);
      const apart = curve.reference === null || label !== "energy" ? "" : `, ${(near[1] - curve.reference).toPrecision(3)} from the reference`;
      add(svg, "circle", { cx: x(near[0]), cy: y(near[1]), r: 4, fill: color, "clip-path": "url(#inside)" });
      texts.push(`${curve.name}: step ${Math.round(near[0])}, ${near[1].toPrecision(8)} ${unit}${apart}`);
    });
    readout.textContent = texts.join("; ");
  };
  const move = (event) => {
    const box = svg.getBoundingClientRect();
    at = scale((event.clientX - box.left) / box.width * width);
    draw();
  };
  window.addEventListener("resize", () => draw());
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("keydown", (event) => {
    const steps = curves[0].points;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const width = (steps[steps.length - 1][0] - steps[0][0]) / 50 || 1;
    at = Math.min(Math.max((at ?? steps[0][0]) + by * width, steps[0][0]), steps[steps.length - 1][0]);
    draw();
  });
  curves.forEach((curve, i) => {
    const entry = legend.appendChild(document.createElement("label"));
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    const line = document.createElement("i");
    line.style.background = colors[i % colors.length];
    box.addEventListener("change", () => { shown[i] = box.checked; draw(); });
    entry.append(box, line, curve.name);
  });
  place.hidden = false;
  draw();
}
