// Make your own gap: two of a scene's knobs, the pair they draw, and its divergence curve over that
// of real pairs. Every curve and picture was made in Python; this module picks the one asked for.

const GAP_STYLE = `
.freqkd-gap svg { overflow: visible; }`;

const UNMOVED = "No slider changes this side.";
const AXIS = "rho: 1 is the Nyquist frequency of an axis of tokens";
const FRAME = { left: 32, top: 8, width: 312, height: 208, all: "0 0 352 264" };

// The plot: real pairs pale with their interval, the scenes' curve on top.
function plotOf({ rho, top, real, low, high, colours }) {
  const { left, top: y0, width, height } = FRAME, limit = rho.at(-1) + rho[0];
  const at = (ys) => points(rho.map((r) => r / limit), ys, width, height, top);
  const band = `${at(high)} ${at(low).split(" ").reverse().join(" ")}`;
  const pale = svg("polyline", { points: at(real), fill: "none", stroke: colours[0],
    "stroke-width": 2, opacity: 0.45 });
  const own = svg("polyline", { fill: "none", stroke: colours[1], "stroke-width": 2.5 });
  const dots = rho.map((r) => svg("circle", { r: 3.5, fill: colours[1], cx: (r / limit) * width }));
  const levels = ["identical", "unrelated"].flatMap((word, value) => {
    const y = (1 - value / top) * height;
    return [svg("line", { x1: 0, x2: width, y1: y, y2: y, stroke: "currentColor", opacity: 0.35 }),
      svg("text", { x: -6, y: y + 4, "text-anchor": "end" }, String(value)),
      svg("text", { x: 4, y: y - 4, opacity: 0.8 }, word)];
  });
  const marks = [0, 0.5, 1].map((r) => svg("text", { x: (r / limit) * width, y: height + 16,
    "text-anchor": "middle" }, String(r)));
  const key = ["real pairs", "these scenes"].map((word, i) => svg("text", { x: width - 2,
    y: height - 34 + 16 * i, "text-anchor": "end", style: `fill:${colours[i]};font-weight:600` }, word));
  const node = svg("svg", { viewBox: FRAME.all, role: "img" },
    svg("g", { transform: `translate(${left} ${y0})` },
      ...levels, ...marks,
      svg("text", { x: width / 2, y: height + 34, "text-anchor": "middle" }, AXIS),
      svg("polygon", { points: band, fill: colours[0], opacity: 0.16 }),
      pale, own, ...dots, ...key));
  return { node, show(ys) {
    own.setAttribute("points", at(ys));
    dots.forEach((dot, i) => dot.setAttribute("cy", (1 - ys[i] / top) * height));
  } };
}

function render({ model, el }) {
  const spec = model.get("spec"), { knobs, size: [h, w] } = spec;
  const plot = plotOf(spec.plot);
  const canvases = [0, 1].map(() => make("canvas", { role: "img", width: w, height: h }));
  const parts = [...canvases, plot.node].map((node, i) =>
    figure(spec.titles[i], spec.colours[i], node));
  const inputs = knobs.map((knob) => slider(knob.values.length, knob.label));
  const numbers = knobs.map((knob) => room("output", knob.texts));
  const readout = room("div", spec.readouts);
  readout.classList.add("readout");
  // What a picture shows of the knobs that change it.
  const captionOf = (k, texts) => knobs.map((knob, n) =>
    knob.panel === k ? `${knob.label}: ${texts[n]}` : "").filter(Boolean).join("; ");
  const captions = [0, 1].map((k) => room("div", [UNMOVED, ...knobs[0].texts.flatMap((a) =>
    knobs[1].texts.map((b) => captionOf(k, [a, b])))]));
  captions.forEach((caption, k) => parts[k].caption.append(caption));
  const root = mount(el, "gap", spec.title, GAP_STYLE,
    div("controls", ...knobs.map((knob, i) =>
      make("label", { class: "knob" }, knob.label, inputs[i], numbers[i]))),
    readout, div("panels three", ...parts.map((part) => part.figure)),
    div("footnote", spec.footnote));

  let images = null;
  function draw() {
    const [i, j] = inputs.map((input) => Number(input.value));
    const point = i * knobs[1].values.length + j, said = spec.readouts[point];
    const texts = [knobs[0].texts[i], knobs[1].texts[j]];
    texts.forEach((text, k) => {
      say(numbers[k], text);
      inputs[k].setAttribute("aria-valuetext", `${text}. ${said}`);
    });
    say(readout, said);
    plot.show(spec.curves[point]);
    plot.node.setAttribute("aria-label", `${spec.titles[2]}. ${said}`);
    canvases.forEach((canvas, k) => {
      const words = captionOf(k, texts);
      say(captions[k], words || UNMOVED);
      canvas.setAttribute("aria-label", `${spec.titles[k]} of ${spec.about}. ${words}`);
      if (images) canvas.getContext("2d").drawImage(images[spec.shown[point][k]], 0, 0);
    });
  }
  const { ask, stop } = bind(model, { first: steps(inputs[0], knobs[0].values),
    second: steps(inputs[1], knobs[1].values) }, draw);
  load(model, spec, root, (found) => {
    images = found;
    ask();
  });
  return () => { stop(); root.remove(); };
}

export default { render };
