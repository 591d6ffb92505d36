// Draw your own weight: eight points over rho, each a slider; what Python knows of one pair, by
// radius, turns the curve into a loss, a gradient by ring, and a place among the measured weights.

const WEIGHT_STYLE = `
.freqkd-weight .panels { display: grid; gap: 16px; margin-top: 8px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(290px, 100%), 1fr)); grid-template-rows: none; }
.freqkd-weight figure { grid-row: auto; grid-template-rows: auto; }
.freqkd-weight .controls { position: static; } /* the points themselves are moved */
.freqkd-weight svg text { text-anchor: middle; }
.freqkd-weight .point { cursor: ns-resize; touch-action: none; }
.freqkd-weight .point:focus { outline: none; }
.freqkd-weight .point:focus-visible circle + circle { stroke: #d55e00; stroke-width: 4; }
.freqkd-weight select { font: inherit; min-height: 28px; }
.freqkd-weight table { border-collapse: collapse; font-size: 0.93em; width: 100%; margin: 5px 0; }
.freqkd-weight :is(th, td) { text-align: left; padding: 3px 10px 3px 4px; vertical-align: top;
  border-bottom: 1px solid #8888; font-variant-numeric: tabular-nums; }
.freqkd-weight .yours { font-weight: 600; box-shadow: inset 4px 0 #0072b2; }`;
const WEIGHT_TITLE = "Draw your own weight: how much each frequency counts";
const PLOT = 288, TALL = 150, STEP = 0.05, TOP = 1.5; // TOP: of the gradient's axis
const OWN = "drawn by you", PERCENT = (share) => `${Math.round(100 * share)} %`;

// The weight at each radius: straight lines between the points, constant beyond them.
export const weightAt = (at, curve, rho) => {
  const i = at.findIndex((x) => x >= rho);
  if (i <= 0) return i < 0 ? curve.at(-1) : curve[0];
  return curve[i - 1] + (curve[i] - curve[i - 1]) * (rho - at[i - 1]) / (at[i] - at[i - 1]);
};

// Of a weight at each radius: the loss, 1 for a student whose features are 0; the gradient of each
// ring, in units of the whole one of plain MSE; and the share of what such a student pays that lies
// beyond the cutoff.
export function effect({ edges, cutoff, rho, cost, power }, weight) {
  const pulls = edges.slice(1).map(() => 0), sum = (values) => values.reduce((a, b) => a + b, 0);
  const felt = weight.map((w, i) => w * power[i]), all = sum(felt);
  if (!all) return { loss: 0, pulls, share: 0 };
  rho.forEach((r, i) => {
    const above = edges.findIndex((edge) => edge > r); // none: the last edge itself
    pulls[(above < 0 ? edges.length - 1 : above) - 1] += weight[i] ** 2 * cost[i];
  });
  return {
    loss: sum(weight.map((w, i) => w * cost[i])) / all,
    pulls: pulls.map((p) => Math.sqrt(p / sum(cost)) * sum(power) / all),
    share: sum(felt.filter((_, i) => rho[i] > cutoff)) / all,
  };
}

const place = (i) => (i + 0.5) * PLOT / 8, height = (value, top = 1) => TALL * (1 - value / top);

function plot(edges, top, ...inside) {
  const line = { stroke: "currentColor", opacity: 0.4 };
  const marks = [0, 0.5, 1].map((rho) => svg("text",
    { x: rho / edges.at(-1) * PLOT, y: TALL + 20 }, rho ? `rho ${rho}` : "0"));
  marks.push(svg("text", { x: -10, y: 4 + height(1, top) }, "1"));
  return svg("svg", { viewBox: `-16 -14 ${PLOT + 32} ${TALL + 40}` },
    svg("line", { x1: 0, x2: PLOT, y1: TALL, y2: TALL, ...line }), ...marks, ...inside);
}

function render({ model, el }) {
  const spec = model.get("spec"), { edges } = spec;
  const at = edges.slice(1).map((edge, i) => (edge + edges[i]) / 2);
  const trained = spec.weights.map(({ name, brought, at_rho: weight }) => {
    const there = at.map((rho) => weightAt(spec.rho, weight, rho)), top = Math.max(...there);
    const points = there.map((w) => Math.round(100 * w / top) / 100);
    return { name, brought, points, ...effect(spec, weight) };
  });
  const plain = trained[0]; // MSE
  let curve = model.get("curve");
  const line = svg("polyline", { fill: "none", stroke: "#0072b2", "stroke-width": 2.5 });
  const knobs = at.map((rho, i) => svg("g", { class: "point", tabindex: 0, role: "slider",
    "aria-valuemin": 0, "aria-valuemax": 1, "aria-orientation": "vertical",
    "aria-label": `Weight at rho ${rho.toFixed(2)}` },
  svg("circle", { cx: place(i), r: 15, fill: "transparent" }),
  svg("circle", { cx: place(i), r: 7, fill: "#0072b2", stroke: "currentColor" })));
  const drawn = set(plot(edges, 1, line, ...knobs),
    { role: "group", "aria-label": "Weights over rho" });
  const bars = at.map((_, i) => svg("rect", { x: place(i) - 13, width: 26, fill: "#009e73" }));
  const outline = { fill: "none", stroke: "#0072b2", "stroke-width": 2 };
  const pulls = set(plot(edges, TOP, ...bars, ...plain.pulls.map((pull, i) => svg("line", { ...outline,
    x1: place(i) - 15, x2: place(i) + 15, y1: height(pull, TOP), y2: height(pull, TOP) }))),
  { role: "img" });
  const body = make("tbody"), table = make("table", {}, make("thead", {}, make("tr", {},
    ...["weight", `beyond rho ${spec.cutoff}`, "AP minus MSE"].map((word) =>
      make("th", { scope: "col" }, word)))), body);
  const parts = [figure("Your weight: drag the points", "#0072b2", drawn),
    figure("Gradient by ring; lines: plain MSE", "#009e73", pulls),
    figure("Its place among trained ones", "#cc79a7", table)];
  parts[2].caption.textContent = "Beyond: share of what a student pays whose features are 0. AP: "
    + "on MSRS with DINOv2, at the better learning rate (results/distillation), 95 % intervals. "
    + "Nobody has trained with yours.";
  const select = make("select", { "aria-label": "Start from" },
    ...[OWN, ...trained.map(({ name }) => name)].map((name) => make("option", {}, name)));
  const readout = make("div", { class: "readout", role: "status" });
  const root = mount(el, "weight", WEIGHT_TITLE, WEIGHT_STYLE,
    div("controls", make("label", {}, "Start from ", select)), readout,
    div("panels", ...parts.map((part) => part.figure)));

  const row = ({ name, share, brought }) => make("tr", name === OWN ? { class: "yours" } : {},
    ...[name, PERCENT(share), brought].map((text) => make("td", {}, text)));
  const draw = () => {
    const found = effect(spec, spec.rho.map((rho) => weightAt(at, curve, rho)));
    line.setAttribute("points", [[0, curve[0]], ...curve.map((w, i) => [place(i), w]),
      [PLOT, curve.at(-1)]].map(([x, w]) => `${x},${height(w)}`).join(" "));
    knobs.forEach((knob, i) => {
      set(knob, { "aria-valuenow": curve[i].toFixed(2) });
      for (const circle of knob.children) circle.setAttribute("cy", height(curve[i]));
    });
    found.pulls.forEach((pull, i) => {
      const y = Math.max(-14, height(pull, TOP));
      set(bars[i], { y, height: TALL - y });
    });
    pulls.setAttribute("aria-label", `Gradient by ring: ${
      found.pulls.map((pull) => pull.toFixed(2)).join(", ")}; plain MSE: ${
      plain.pulls.map((pull) => pull.toFixed(2)).join(", ")}`);
    readout.textContent = found.loss === 0 ? "All weights are 0: this loss asks for nothing."
      : `Loss on this pair: ${found.loss.toFixed(2)}. Plain MSE: ${plain.loss.toFixed(2)}. A student `
        + "whose features are 0 pays 1.";
    parts[1].caption.textContent = "The whole gradient of plain MSE is 1; yours is "
      + `${Math.hypot(...found.pulls).toFixed(2)}.`;
    const rows = [...trained, { name: OWN, share: found.share, brought: "" }];
    body.replaceChildren(...rows.sort((a, b) => b.share - a.share).map(row));
  };
  // Sets points of the curve, as a reader does.
  const change = (next, name = OWN) => {
    if (next.every((w, i) => w === curve[i])) return;
    curve = next;
    select.value = name;
    drawn.dispatchEvent(new Event("change"));
  };
  const put = (i, value) => change(curve.with(i,
    Math.round(100 * Math.max(0, Math.min(1, value))) / 100));
  knobs.forEach((knob, i) => {
    knob.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      knob.focus({ focusVisible: false });
      knob.setPointerCapture(event.pointerId);
    });
    knob.addEventListener("pointermove", (event) => {
      if (!knob.hasPointerCapture(event.pointerId)) return;
      const box = drawn.getBoundingClientRect(), scale = (TALL + 40) / box.height;
      put(i, 1 - ((event.clientY - box.top) * scale - 14) / TALL);
    });
    knob.addEventListener("keydown", (event) => {
      const step = { ArrowUp: STEP, ArrowRight: STEP, ArrowDown: -STEP, ArrowLeft: -STEP,
        PageUp: 4 * STEP, PageDown: -4 * STEP, Home: -1, End: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      put(i, curve[i] + step);
    });
  });
  select.addEventListener("change", () => {
    const chosen = trained.find(({ name }) => name === select.value);
    if (chosen) change([...chosen.points], chosen.name);
  });
  const control = { node: drawn, read: () => curve, show(value) {
    const moved = value.some((w, i) => w !== curve[i]);
    curve = value; // the same list as the model's: bind compares by identity
    return moved;
  } };
  const { stop } = bind(model, { curve: control }, draw);
  return () => { stop(); root.remove(); };
}

export default { render };
