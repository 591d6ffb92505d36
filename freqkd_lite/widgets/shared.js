// What the widgets share: nodes, controls tied to the model, pictures, the plot of a divergence
// curve. Python puts this text before that of a widget, as one ES module. No import, no network.

const STYLE = `
.freqkd { font: clamp(14px, 0.5vw + 8px, 24px)/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
  max-width: max(1080px, min(100%, 140vh));
  color: var(--jp-ui-font-color1, inherit); container-type: inline-size; margin: 4px 2px 10px; }
.freqkd * { box-sizing: border-box; }
.freqkd .controls { display: flex; flex-wrap: wrap; gap: 4px 22px; align-items: flex-start; }
.freqkd .knob { flex: 1 1 290px; display: grid; gap: 0 10px; align-items: center;
  grid-template-columns: auto minmax(0, 1fr) auto; }
.freqkd input { accent-color: #0072b2; margin: 0; }
.freqkd input[type=range] { width: 100%; height: 26px; cursor: ew-resize; }
.freqkd input[type=checkbox] { width: 17px; height: 17px; vertical-align: -3px; }
.freqkd .tick { line-height: 26px; }
.freqkd :is(input, canvas):focus-visible { outline: 3px solid #56b4e9; outline-offset: 2px;
  border-radius: 4px; }
.freqkd output { font-variant-numeric: tabular-nums; font-weight: 600; min-width: 2.9em; }
.freqkd .readout { margin: 6px 0 8px; font-variant-numeric: tabular-nums; min-height: 1.4em; }
.freqkd .panels { display: grid; grid-template-rows: auto auto auto; }
.freqkd figure { margin: 0; min-width: 0; display: grid; grid-row: 1 / span 3;
  grid-template-rows: subgrid; grid-template-columns: minmax(0, 1fr); }
.freqkd .title { font-weight: 600; padding-left: 7px; border-left: 5px solid; }
.freqkd figure > :is(canvas, svg) { display: block; width: 100%; height: auto; margin: 5px 0; }
.freqkd figcaption { font-size: 0.93em; font-variant-numeric: tabular-nums; }
.freqkd .footnote { font-size: 0.86em; margin-top: 6px; opacity: 0.85; }
.freqkd .three { grid-template-columns: repeat(3, minmax(0, 1fr)); column-gap: 20px; }
.freqkd svg text { font-size: 12px; fill: currentColor; }
.freqkd [data-room] { display: grid; }
.freqkd [data-room]::after { content: attr(data-room); visibility: hidden; }
.freqkd [data-room]::after, .freqkd [data-room] > span { grid-area: 1 / 1; }
@container (max-width: 480px) {
  .freqkd :is(.panels, figure) { display: block; }
  .freqkd figure { margin-bottom: 10px; }
  .freqkd .controls { position: sticky; top: 0; z-index: 1; padding-bottom: 4px;
    background: var(--jp-layout-color0, var(--paper, Canvas)); border-bottom: 1px solid #888; }
}`;

export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

export function make(tag, attributes = {}, ...children) {
  const node = set(document.createElement(tag), attributes);
  node.append(...children);
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = set(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes);
  node.append(...children);
  return node;
}

export const div = (name, ...children) => make("div", { class: name }, ...children);

// A widget's root, put into `el`. It keeps the keys that move a slider from what is around it: in
// the lab, arrows would otherwise move between cells, and the slider would lose the focus.
const KEYS = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"];

export function mount(el, kind, title, style, ...parts) {
  const root = make("div", { class: `freqkd freqkd-${kind}`, role: "group", "aria-label": title },
    make("style", {}, STYLE + style), ...parts);
  root.addEventListener("keydown", (event) => {
    if (KEYS.includes(event.key)) event.stopPropagation();
  });
  el.append(root);
  return root;
}

export const viewOf = (bytes) =>
  bytes instanceof DataView ? bytes : new DataView(bytes.buffer ?? bytes);

// Hands on the pictures of a trait that holds JPEGs one after the other, cut at the offsets `cuts`;
// `root` is then marked as ready.
export async function load(model, { cuts }, root, take) {
  const { buffer, byteOffset } = viewOf(model.get("jpegs"));
  take(await Promise.all(cuts.slice(1).map((end, i) => createImageBitmap(new Blob(
    [new Uint8Array(buffer, byteOffset + cuts[i], end - cuts[i])], { type: "image/jpeg" })))));
  root.dataset.ready = "";
}

export function figure(title, colour, node) {
  const words = set(div("title", title), { style: `border-color:${colour}` });
  const caption = make("figcaption");
  return { title: words, node, caption, figure: make("figure", {}, words, node, caption) };
}

// A place for words that change, one of `all`, with room for the longest: word by word, since they
// may wrap. So nothing around it moves. `say` puts them there.
export function room(tag, all) {
  const longest = all.map((text) => text.split(" ")).reduce((a, b) =>
    (a.length < b.length ? b : a).map((_, i) =>
      (a[i] ?? "").length < (b[i] ?? "").length ? b[i] : a[i]));
  return make(tag, { "data-room": longest.join(" ") }, make("span"));
}

export const say = (place, text) => { place.firstChild.textContent = text; };

export function slider(count, label) {
  return make("input", { type: "range", min: 0, max: count - 1, step: 1, "aria-label": label });
}

// A control as `bind` takes it: a slider over `values`, and a box to tick.
export function steps(node, values) {
  const nearest = (value) => values.reduce((best, v, i) =>
    Math.abs(v - value) < Math.abs(values[best] - value) ? i : best, 0);
  return {
    node,
    read: () => values[node.value],
    show(value) {
      const index = nearest(value), moved = index !== Number(node.value);
      if (moved) node.value = index;
      return moved;
    },
  };
}

export const tick = (node) => ({
  node,
  read: () => node.checked,
  show(value) {
    const moved = value !== node.checked;
    node.checked = value;
    return moved;
  },
});

// Ties controls, named as the model's traits, to `draw`. Many events make one picture: the next
// frame draws the state of that moment, never an older one. Python hears of what is on the screen,
// after the frame and twice a second at most (each message makes JupyterLab lay out its toolbars
// anew); an echo of an earlier state does not move what the reader holds.
const PAUSE = 500; // ms

export function bind(model, controls, draw) {
  let frame = 0, held = false, telling = false, letter = 0, told = -PAUSE;
  const names = Object.keys(controls);
  const news = () => names.filter((name) => model.get(name) !== controls[name].read());
  const tell = () => {
    letter = 0;
    told = performance.now();
    telling = true; // setting one calls follow(), which must not undo another
    for (const name of news()) model.set(name, controls[name].read());
    telling = false;
    model.save_changes();
  };
  const paint = () => {
    frame = 0;
    draw();
    if (!letter && news().length)
      letter = setTimeout(tell, Math.max(0, told + PAUSE - performance.now()));
  };
  const ask = () => { frame ||= requestAnimationFrame(paint); };
  const follow = () => {
    if (held || telling || letter) return;
    const moved = names.filter((name) => controls[name].show(model.get(name)));
    if (moved.length) ask();
  };
  const press = () => { held = true; };
  const release = () => { held = false; };
  for (const name of names) {
    const { node } = controls[name];
    node.addEventListener(node.type === "range" ? "input" : "change", ask);
    node.addEventListener("pointerdown", press);
    for (const end of ["change", "pointerup", "pointercancel", "blur"])
      node.addEventListener(end, release);
    model.on(`change:${name}`, follow);
    controls[name].show(model.get(name));
  }
  paint();
  return { ask, stop() {
    cancelAnimationFrame(frame);
    clearTimeout(letter);
    if ((frame || letter) && news().length) tell();
    for (const name of names) model.off(`change:${name}`, follow);
  } };
}

// Points "x,y x,y" of values on a plot of `width` by `height` in which `top` is the upper end.
export const points = (xs, ys, width, height, top) => xs.map((x, i) =>
  `${(x * width).toFixed(1)},${((1 - ys[i] / top) * height).toFixed(1)}`).join(" ");
