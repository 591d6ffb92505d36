// Click a patch: its cosine similarity to every patch of the other modality, before and after
// distillation. Python sends unit vectors; this module takes their products, and draws.

const PATCH_STYLE = `
.freqkd-patch .ask { cursor: crosshair; }
.freqkd-patch .bar { display: inline-block; width: 90px; height: 9px; vertical-align: 0;
  background: linear-gradient(90deg, #000, rgb(var(--glow))); border: 1px solid #888; }`;

// ---- the arithmetic (tested against torch) -------------------------------------------------

// Three maps of unit vectors, `count` patches by `width`: the teacher's of RGB, and those of
// infrared before and after. Fixed point: 32767 is 1.
export function vectorsOf({ count, width }, view) {
  return Array.from({ length: 3 }, (_, map) => Float32Array.from({ length: count * width },
    (_, i) => view.getInt16(2 * (map * count * width + i), true) / 32767));
}

// Cosine similarity of patch `at` in map `a` to each patch of map `b`.
export function similarity({ count, width }, a, b, at) {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let k = 0; k < width; k++) sum += a[at * width + k] * b[i * width + k];
    out[i] = sum;
  }
  return out;
}

// Before and after: asked from RGB, or from infrared.
export function answers(spec, [teacher, ...students], at, fromInfrared) {
  return students.map((student) => fromInfrared
    ? similarity(spec, student, teacher, at) : similarity(spec, teacher, student, at));
}

// How many patches are at least as similar as the one at the same place: 1 is the best.
export function rank(map, at) {
  let above = 1;
  for (let i = 0; i < map.length; i++) above += i !== at && map[i] >= map[at];
  return above;
}

// ---- the page --------------------------------------------------------------------------------

function render({ model, el }) {
  const spec = model.get("spec"), { size: [h, w], grid: [rows, columns], cell } = spec;
  const vectors = vectorsOf(spec, viewOf(model.get("vectors")));
  const canvases = [0, 1, 2].map(() => make("canvas", { width: w, height: h, role: "img" }));
  const parts = canvases.map((canvas, i) => figure("", spec.colours[i], canvas));
  const asked = canvases[0], box = make("input", { type: "checkbox" });
  asked.classList.add("ask");
  set(asked, { tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": spec.count - 1 });
  const bar = make("i", { class: "bar", "aria-hidden": "true", style: `--glow:${spec.glow}` });
  const readout = div("readout");
  const placeOf = (row, column) => `Row ${row} of ${rows}, column ${column} of ${columns}`;
  const saidOf = (cosine, place) => `${spec.same} ${cosine}, rank ${place} of ${spec.count}`;
  const widest = saidOf("-0.00", spec.count);
  const captions = [placeOf(rows, columns), widest, widest].map((text) => room("div", [text]));
  captions.forEach((caption, i) => parts[i].caption.append(caption));
  const root = mount(el, "patch", spec.title, PATCH_STYLE,
    div("controls", make("label", { class: "tick" }, box, " Ask from infrared"),
      make("span", { class: "tick" }, "cosine 0 or less ", bar, " 1")),
    readout, div("panels three", ...parts.map((part) => part.figure)),
    div("footnote", spec.footnote));

  let images = null, at = 0;
  const square = (context, index, colour, width) => {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect((index % columns) * cell + 1, Math.floor(index / columns) * cell + 1,
      cell - 2, cell - 2);
  };
  const mark = (context, index) => { square(context, index, "#000", 4); square(context, index, "#fff", 2); };
  function glow(context, map) {
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    context.fillRect(0, 0, w, h);
    context.globalAlpha = spec.dim;
    context.drawImage(images[box.checked ? 0 : 1], 0, 0);
    context.globalCompositeOperation = "lighter";
    context.fillStyle = `rgb(${spec.glow})`;
    map.forEach((value, i) => {
      context.globalAlpha = Math.min(1, Math.max(0, value));
      context.fillRect((i % columns) * cell, Math.floor(i / columns) * cell, cell, cell);
    });
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
  }
  function draw() {
    const side = box.checked ? 1 : 0, maps = answers(spec, vectors, at, box.checked);
    const place = placeOf(Math.floor(at / columns) + 1, (at % columns) + 1);
    const said = maps.map((map) => saidOf(map[at].toFixed(2), rank(map, at)));
    parts.forEach((part, i) => { part.title.textContent = spec.titles[side][i]; });
    say(captions[0], place);
    readout.textContent = spec.question[side];
    set(asked, { "aria-label": spec.titles[side][0], "aria-valuenow": at,
      "aria-valuetext": `${place}. ${spec.names[0]}: ${said[0]}. ${spec.names[1]}: ${said[1]}.` });
    if (images) {
      const context = asked.getContext("2d");
      context.drawImage(images[side], 0, 0);
      mark(context, at);
    }
    maps.forEach((map, i) => {
      const part = parts[i + 1];
      say(captions[i + 1], said[i]);
      part.node.setAttribute("aria-label", `${spec.titles[side][i + 1]}. ${said[i]}.`);
      if (!images) return;
      const context = part.node.getContext("2d");
      glow(context, map);
      mark(context, at);
    });
  }
  const { ask, stop } = bind(model, { patch: { node: asked, read: () => at, show(value) {
    const moved = value !== at;
    at = value;
    return moved;
  } }, from_infrared: tick(box) }, draw);
  const go = (row, column) => {
    at = Math.min(rows - 1, Math.max(0, row)) * columns + Math.min(columns - 1, Math.max(0, column));
    ask();
  };
  const point = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const { left, top, width, height } = asked.getBoundingClientRect();
    go(Math.floor(((event.clientY - top) / height) * rows),
      Math.floor(((event.clientX - left) / width) * columns));
  };
  asked.addEventListener("pointerdown", point);
  asked.addEventListener("pointermove", point);
  asked.addEventListener("keydown", (event) => {
    const row = Math.floor(at / columns), column = at % columns;
    const to = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1], Home: [row, 0], End: [row, columns - 1] }[event.key];
    if (!to) return;
    event.preventDefault();
    go(...to);
  });
  load(model, spec, root, (found) => {
    images = found;
    ask();
  });
  return () => { stop(); root.remove(); };
}

export default { render };
