// The fader: low band of one modality + high band of the other = hybrid, redrawn as you drag.
// Python prepares the picture (bytes), every number and every sentence; this module splits the
// bands as freqkd_lite.spectrum.split_bands does, and draws. No import, no network.

const SLACK = 1e-9; // as in spectrum.py: a bin on the edge is low, whatever the rounding

// ---- the arithmetic (tested against split_bands) -------------------------------------------

// Signed frequency of FFT bin i of n, in cycles per sample.
const frequency = (i, n) => (i < (n + 1) / 2 ? i : i - n) / n;

function factors(n) {
  const out = [];
  for (let r = 4; n > 1; r = r === 4 ? 2 : r === 2 ? 3 : r + 2)
    while (n % r === 0) { out.push(r); n /= r; }
  return out;
}

// q[o..] += sum of four complex multiples of p (four at once: the memory is read less often).
function addFour([x, y], [p, q], m, o, [i0, i1, i2, i3], [c0, c1, c2, c3], [d0, d1, d2, d3], first) {
  for (let v = 0; v < m; v++) {
    const x0 = x[i0 + v], y0 = y[i0 + v], x1 = x[i1 + v], y1 = y[i1 + v];
    const x2 = x[i2 + v], y2 = y[i2 + v], x3 = x[i3 + v], y3 = y[i3 + v];
    const a = c0 * x0 - d0 * y0 + c1 * x1 - d1 * y1 + c2 * x2 - d2 * y2 + c3 * x3 - d3 * y3;
    const b = c0 * y0 + d0 * x0 + c1 * y1 + d1 * x1 + c2 * y2 + d2 * x2 + c3 * y3 + d3 * x3;
    p[o + v] = first ? a : p[o + v] + a;
    q[o + v] = first ? b : q[o + v] + b;
  }
}

// Unscaled DFT along the first axis of a complex (n, m) array [re, im]; sign -1 forward, 1 back.
// Stockham's autosort with mixed radices (any n). Overwrites both buffers; returns [result, free].
export function transform(src, dst, n, m, sign) {
  let l = 1;
  for (const r of factors(n)) {
    const q = n / (l * r), i = [0, 0, 0, 0], c = [0, 0, 0, 0], d = [0, 0, 0, 0];
    for (let k = 0; k < q; k++) for (let j = 0; j < l; j++) for (let t = 0; t < r; t++)
      for (let s = 0; s < r; s += 4) {
        for (let u = 0; u < 4; u++) {
          const used = s + u < r;
          const angle = (sign * 2 * Math.PI * (((s + u) * (j + l * t)) % (l * r))) / (l * r);
          i[u] = (((used ? s + u : s) * q + k) * l + j) * m;
          c[u] = used ? Math.cos(angle) : 0;
          d[u] = used ? Math.sin(angle) : 0;
        }
        addFour(src, dst, m, ((k * r + t) * l + j) * m, i, c, d, s === 0);
      }
    [src, dst] = [dst, src];
    l *= r;
  }
  return [src, dst];
}

const complex = (n) => [new Float64Array(n), new Float64Array(n)];

function transpose([a, b], [p, q], n, m) {
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) {
    p[j * n + i] = a[i * m + j];
    q[j * n + i] = b[i * m + j];
  }
}

// What is low: bins (row y, column x) with |fy|, |fx| <= cutoff / 2, or rho <= cutoff for a disk.
export function lowMask(h, w, cutoff, shape) {
  const mask = new Uint8Array(h * w);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
    const fy = Math.abs(frequency(y, h)), fx = Math.abs(frequency(x, w));
    mask[y * w + x] = shape === "disk"
      ? Math.sqrt(fy * fy + fx * fx) / 0.5 <= cutoff + SLACK
      : Math.max(fy, fx) <= cutoff / 2 + SLACK;
  }
  return mask;
}

// Prepares channels (arrays of h * w); returns low(cutoff, shape) -> their low bands. Two real
// channels travel as one complex one: the mask is symmetric, so they come back apart.
export function splitter(channels, h, w) {
  const spectra = [], size = h * w;
  let work = complex(size), spare = complex(size);
  for (let i = 0; i < channels.length; i += 2) {
    work[0].set(channels[i]);
    if (i + 1 < channels.length) work[1].set(channels[i + 1]);
    else work[1].fill(0);
    [work, spare] = transform(work, spare, h, w, -1);
    transpose(work, spare, h, w); // (x, y) from here on
    [spare, work] = transform(spare, work, w, h, -1);
    spectra.push(spare.map((part) => part.slice()));
  }
  const out = channels.map(() => new Float64Array(size));
  return (cutoff, shape) => {
    const mask = lowMask(h, w, cutoff, shape), rows = [];
    for (let y = 0; y < h; y++) if (mask[y * w]) rows.push(y); // other rows hold nothing low
    const kept = rows.length;
    spectra.forEach(([re, im], pair) => {
      for (let x = 0; x < w; x++) for (let k = 0; k < kept; k++) {
        const low = mask[rows[k] * w + x];
        work[0][x * kept + k] = low * re[x * h + rows[k]];
        work[1][x * kept + k] = low * im[x * h + rows[k]];
      }
      [work, spare] = transform(work, spare, w, kept, 1);
      for (const part of spare) part.fill(0);
      for (let k = 0; k < kept; k++) for (let x = 0; x < w; x++) {
        spare[0][rows[k] * w + x] = work[0][x * kept + k];
        spare[1][rows[k] * w + x] = work[1][x * kept + k];
      }
      [work, spare] = transform(spare, work, h, w, 1);
      for (let c = 0; c < 2 && 2 * pair + c < out.length; c++)
        for (let p = 0; p < size; p++) out[2 * pair + c][p] = work[c][p] / size;
    });
    return out;
  };
}

// Bytes of the model -> one array of numbers in display units (0 black, 1 white) per channel.
export function channelsOf(spec, view) {
  const size = spec.height * spec.width, count = spec.channels[0] + spec.channels[1];
  return Array.from({ length: count }, (_, c) =>
    Float64Array.from({ length: size }, (_, p) =>
      spec.dtype === "uint8"
        ? view.getUint8(c * size + p) / 255
        : view.getFloat32(4 * (c * size + p), true)));
}

// The three panels as RGBA bytes: low of one, high of the other (gained, around mid-grey), sum.
export function panels(spec, channels, lows, swap, out) {
  const size = spec.height * spec.width, [nv, ni] = spec.channels;
  const pick = (of, c) => (of ? nv + Math.min(c, ni - 1) : Math.min(c, nv - 1));
  for (let c = 0; c < 3; c++) {
    const a = pick(swap, c), b = pick(!swap, c);
    for (let p = 0; p < size; p++) {
      const low = lows[a][p], high = channels[b][p] - lows[b][p], o = 4 * p + c;
      out[0][o] = 255 * low;
      out[1][o] = 255 * (0.5 + spec.gain * high);
      out[2][o] = 255 * (low + high);
    }
  }
  return out;
}

// ---- the page --------------------------------------------------------------------------------

const STYLE = `
.freqkd-fader { font: 14px/1.4 var(--jp-ui-font-family, system-ui, sans-serif); max-width: 1080px;
  color: var(--jp-ui-font-color1, inherit); container-type: inline-size; margin: 4px 2px 10px; }
.freqkd-fader * { box-sizing: border-box; }
.freqkd-fader .controls { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: center; }
.freqkd-fader .cutoff { flex: 1 1 260px; display: flex; gap: 10px; align-items: center; }
.freqkd-fader input { accent-color: #0072b2; margin: 0; }
.freqkd-fader input[type=range] { flex: 1; min-width: 120px; height: 26px; cursor: ew-resize; }
.freqkd-fader input[type=checkbox] { width: 17px; height: 17px; vertical-align: -3px; }
.freqkd-fader input:focus-visible { outline: 3px solid #56b4e9; outline-offset: 2px;
  border-radius: 4px; }
.freqkd-fader output { font-variant-numeric: tabular-nums; font-weight: 600; min-width: 2.9em; }
.freqkd-fader .readout { margin: 6px 0 8px; font-variant-numeric: tabular-nums; min-height: 1.4em; }
.freqkd-fader .panels { display: grid; gap: 0; grid-template-rows: auto auto auto;
  grid-template-columns: minmax(0, 1fr) 24px minmax(0, 1fr) 24px minmax(0, 1fr); }
.freqkd-fader figure { margin: 0; min-width: 0; display: grid; grid-row: 1 / span 3;
  grid-template-rows: subgrid; grid-template-columns: minmax(0, 1fr); }
.freqkd-fader .sign { grid-row: 2; place-self: center; font-size: 20px; }
.freqkd-fader .title { font-weight: 600; padding-left: 7px; border-left: 5px solid; }
.freqkd-fader figure > canvas { display: block; width: 100%; height: auto; margin: 5px 0; }
.freqkd-fader .coarse canvas { image-rendering: pixelated; }
.freqkd-fader figcaption { font-size: 13px; font-variant-numeric: tabular-nums; }
.freqkd-fader .footnote { font-size: 12px; margin-top: 6px; opacity: 0.85; }
.freqkd-fader .meter { height: 6px; margin-top: 4px; border: 1px solid; border-radius: 3px; }
.freqkd-fader .meter i { display: block; height: 100%; }
.freqkd-fader .small { display: flex; gap: 8px; align-items: flex-start; }
.freqkd-fader .small canvas { width: 48px; flex: none; }
@container (max-width: 430px) {
  .freqkd-fader .panels { display: block; }
  .freqkd-fader figure { display: block; }
  .freqkd-fader .sign { text-align: center; }
}`;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function render({ model, el }) {
  const spec = model.get("_spec"), { height: h, width: w, steps } = spec;
  const bytes = model.get("_pixels");
  const view = bytes instanceof DataView ? bytes : new DataView(bytes.buffer ?? bytes);
  const channels = channelsOf(spec, view), low = splitter(channels, h, w);
  const nearest = (cutoff) => steps.reduce((best, step, i) =>
    Math.abs(step.cutoff - cutoff) < Math.abs(steps[best].cutoff - cutoff) ? i : best, 0);

  const slider = make("input", { type: "range", min: 0, max: steps.length - 1, step: 1,
    "aria-label": spec.label });
  const box = make("input", { type: "checkbox" });
  const number = make("output"), readout = make("div", { class: "readout" });
  const figures = [0, 1, 2].map((i) => {
    const title = make("div", { class: "title", style: `border-color:${spec.colours[i]}` });
    const canvas = make("canvas", { role: "img", width: w, height: h });
    const caption = make("figcaption");
    return { title, canvas, caption, node: make("figure", {}, title, canvas, caption),
      image: new ImageData(w, h), context: canvas.getContext("2d") };
  });
  for (const { image } of figures) image.data.fill(255); // opaque
  const meters = [0, 1].map((i) => {
    const text = make("div"), bar = make("i", { style: `background:${spec.colours[i]}` });
    figures[i].caption.append(text, make("div", { class: "meter", "aria-hidden": "true" }, bar));
    return { text, bar };
  });
  const small = make("canvas", { role: "img", width: 96, height: Math.round((96 * h) / w) });
  if (spec.thumbnail)
    figures[2].caption.append(make("div", { class: "small" }, small, spec.question));

  const sign = (text) => make("div", { class: "sign", "aria-hidden": "true" }, text);
  const [a, b, c] = figures.map((figure) => figure.node);
  const root = make("div", { class: "freqkd-fader",
    role: "group", "aria-label": spec.title },
    make("style", {}, STYLE),
    make("div", { class: "controls" },
      make("label", { class: "cutoff" }, "Cutoff", slider, number),
      make("label", { class: "swap" }, box, " " + spec.swap_label)),
    readout, make("div", { class: spec.thumbnail ? "panels" : "panels coarse" }, a, sign("+"), b, sign("="), c),
    make("div", { class: "footnote" }, spec.footnote));
  el.append(root);

  let lows = null, drawn = null, frame = 0, dragging = false, telling = false;
  function draw() {
    frame = 0;
    const step = steps[slider.value], side = box.checked ? 1 : 0, text = spec.panels[side];
    if (drawn !== step) lows = low(step.cutoff, spec.shape);
    drawn = step;
    panels(spec, channels, lows, box.checked, figures.map((figure) => figure.image.data));
    figures.forEach((figure, i) => {
      figure.context.putImageData(figure.image, 0, 0);
      figure.title.textContent = text[i];
      figure.canvas.setAttribute("aria-label",
        `${text[i]}, ${spec.about}. ${step.spoken}. ${spec.looks[i][i < 2 ? step.detail : side]}.`);
    });
    number.textContent = step.number;
    readout.textContent = step.readout;
    slider.setAttribute("aria-valuetext", step.spoken);
    meters.forEach(({ text: label, bar }, i) => {
      const source = i === side ? 0 : 1; // low of one, high of the other
      label.textContent = `${step.shares[source][i]} % of ${spec.energy[source]}`;
      bar.style.width = `${step.shares[source][i]}%`;
    });
    if (spec.thumbnail) {
      const context = small.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(figures[2].canvas, 0, 0, small.width, small.height);
      small.setAttribute("aria-label", `${text[2]}, as a thumbnail.`);
    }
    tell();
  }
  // Python hears of what is on the screen, once per picture.
  function tell() {
    const cutoff = steps[slider.value].cutoff, swap = box.checked;
    if (model.get("cutoff") === cutoff && model.get("swap") === swap) return;
    telling = true; // setting one calls follow(), which must not undo the other
    model.set("cutoff", cutoff);
    model.set("swap", swap);
    telling = false;
    model.save_changes();
  }
  // Many events, one picture: the next frame draws the state of that moment, never an older one.
  const ask = () => { frame ||= requestAnimationFrame(draw); };
  const follow = () => {
    if (dragging || telling) return; // an echo of an earlier position must not pull the slider back
    const index = nearest(model.get("cutoff")), swap = model.get("swap");
    if (index === Number(slider.value) && swap === box.checked) return; // it came from here
    slider.value = index;
    box.checked = swap;
    ask();
  };
  const press = () => { dragging = true; };
  const release = () => { dragging = false; };
  slider.addEventListener("input", ask);
  slider.addEventListener("pointerdown", press);
  for (const name of ["change", "pointerup", "pointercancel", "blur"])
    slider.addEventListener(name, release);
  box.addEventListener("change", ask);
  model.on("change:cutoff", follow);
  model.on("change:swap", follow);
  slider.value = nearest(model.get("cutoff"));
  box.checked = model.get("swap");
  draw();

  return () => {
    cancelAnimationFrame(frame);
    model.off("change:cutoff", follow);
    model.off("change:swap", follow);
    root.remove();
  };
}

export default { render };
