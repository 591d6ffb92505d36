// The training scrubber: pick a step and a method; see what an RGB head marks in an infrared
// picture. Python sends probabilities, 8 bits a patch and class, and counts; this module draws.

const SCRUBBER_STYLE = `
.freqkd-scrubber .panels { margin-top: 10px; grid-template-columns: repeat(2, minmax(0, 1fr)); column-gap: 20px; }
.freqkd-scrubber fieldset { border: 0; margin: 0; padding: 0; display: flex; flex-wrap: wrap;
  gap: 0 16px; min-width: 0; }
.freqkd-scrubber legend { float: left; padding: 0; line-height: 26px; }
.freqkd-scrubber input[type=radio] { width: 17px; height: 17px; vertical-align: -3px; }
.freqkd-scrubber .knob { grid-template-columns: auto minmax(0, 1fr) auto; flex-basis: 320px; }
.freqkd-scrubber .tally { display: grid; grid-template-columns: auto minmax(0, 1fr) auto;
  gap: 1px 10px; align-items: center; }
.freqkd-scrubber .meter { height: 10px; border: 1px solid; border-radius: 3px; }
.freqkd-scrubber .meter i { display: block; height: 100%; }
@container (max-width: 480px) { .freqkd-scrubber .knob { flex-basis: 100%; } }`;
const SHARP = 3; // pixels of a canvas for one of the picture's

// The likeliest class of each patch and its value, of `count` patches by class: [[class, value]].
export function likeliest(values, classes, count) {
  return Array.from({ length: count }, (_, patch) => {
    let best = 0;
    for (let k = 1; k < classes; k++)
      if (values[k * count + patch] > values[best * count + patch]) best = k;
    return [best, values[best * count + patch]];
  });
}

// A picture under marks: each patch in its likeliest class's colour, as opaque as that is likely.
function paint(canvas, image, marks, { size: [, columns], cell, colours, boxes, looks }) {
  const context = canvas.getContext("2d"), side = cell * SHARP, [sure, faint, fill] = looks;
  context.globalAlpha = 1;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  marks.forEach(([k, value], patch) => {
    if (value < faint) return;
    const x = (patch % columns) * side, y = Math.floor(patch / columns) * side;
    context.globalAlpha = (fill * value) / 255;
    context.fillStyle = context.strokeStyle = colours[k];
    context.fillRect(x, y, side, side);
    context.globalAlpha = 1;
    context.lineWidth = SHARP;
    if (value >= sure) context.strokeRect(x + SHARP / 2, y + SHARP / 2, side - SHARP, side - SHARP);
  });
  context.strokeStyle = "#fff";
  context.lineWidth = SHARP / 2;
  for (const [left, top, right, bottom] of boxes) {
    const reach = Math.min(5, (right - left) / 3, (bottom - top) / 3);
    context.beginPath();
    for (const [x, y, dx, dy] of [[left, top, 1, 1], [right, top, -1, 1], [left, bottom, 1, -1],
      [right, bottom, -1, -1]].map((corner) => corner.map((v) => v * SHARP))) {
      context.moveTo(x + reach * dx, y);
      context.lineTo(x, y);
      context.lineTo(x, y + reach * dy);
    }
    context.stroke();
  }
}

// Radio buttons as one control of `bind`; its value is the place of the one that is chosen.
const radios = (node, inputs) => ({
  node,
  read: () => inputs.findIndex((input) => input.checked),
  show(value) {
    const moved = !inputs[value].checked;
    inputs[value].checked = true;
    return moved;
  },
});

function render({ model, el }) {
  const spec = model.get("spec"), { size: [rows, columns], cell, classes, counts, methods } = spec;
  const { buffer, byteOffset } = viewOf(model.get("values")), count = rows * columns;
  const map = (i) => likeliest(new Uint8Array(buffer, byteOffset + i * count * classes.length,
    count * classes.length), classes.length, count);

  const step = slider(spec.steps.length, "Training step"), group = `freqkd-${Math.random()}`;
  const number = room("output", spec.steps.map((s) => `${s} of ${spec.steps.at(-1)}`));
  const inputs = methods.map(() => make("input", { type: "radio", name: group }));
  const choice = make("fieldset", {}, make("legend", {}, "Student trained with"),
    ...methods.map((name, i) => make("label", { class: "tick" }, inputs[i], ` ${name}`)));
  const parts = spec.titles.map((title, i) => {
    const canvas = make("canvas", { role: "img", width: columns * cell * SHARP,
      height: rows * cell * SHARP });
    const part = figure(title, spec.bars[i], canvas), bars = classes.map((_, k) =>
      make("i", { style: `background:${spec.colours[k]}` }));
    const numbers = counts.map((n) => room("span", [`${n} of ${n} patches found`]));
    const wrong = room("span", spec.wrong);
    part.caption.append(div("tally", ...classes.flatMap((name, k) => [make("span", {}, name),
      set(div("meter", bars[k]), { "aria-hidden": "true" }), numbers[k]])), wrong);
    return { ...part, show([found, mistaken]) {
      found.forEach((n, k) => {
        bars[k].style.width = `${(100 * n) / Math.max(1, counts[k])}%`;
        say(numbers[k], `${n} of ${counts[k]} patches found`);
      });
      say(wrong, spec.wrong[mistaken]);
      const words = classes.map((name, k) => `${name} ${found[k]} of ${counts[k]}`).join(", ");
      return `Patches found: ${words}. ${spec.wrong[mistaken]}.`;
    } };
  });
  const root = mount(el, "scrubber", spec.title, SCRUBBER_STYLE,
    div("controls", div("knob", make("span", {}, "Training step"), step, number), choice),
    div("panels", ...parts.map((part) => part.figure)), div("footnote", spec.footnote));

  let images = null;
  function draw() {
    const s = Number(step.value), m = inputs.findIndex((input) => input.checked);
    const found = [spec.found[m][s], spec.on_rgb], said = parts.map((part, i) => part.show(found[i]));
    const now = `${spec.steps[s]} of ${spec.steps.at(-1)}`;
    say(number, now);
    step.setAttribute("aria-valuetext", `${now} steps, ${methods[m]}. ${said[0]}`);
    parts.forEach((part, i) => part.node.setAttribute("aria-label",
      `${spec.titles[i]}, ${spec.about}${i ? "" : `, ${methods[m]}, step ${now}`}. ${said[i]}`));
    if (!images) return;
    paint(parts[0].node, images[0], map(1 + m * spec.steps.length + s), spec);
    paint(parts[1].node, images[1], map(0), spec);
  }
  const { ask, stop } = bind(model, { step: steps(step, spec.steps), method: radios(choice, inputs) },
    draw);
  load(model, spec, root, (loaded) => {
    images = loaded;
    ask();
  });
  return () => { stop(); root.remove(); };
}

export default { render };
