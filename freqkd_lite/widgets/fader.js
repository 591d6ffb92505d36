// The fader: low band of one modality + high band of the other = hybrid, redrawn as you drag.
// Python prepares the picture (bytes), every number and every sentence; this module splits the
// bands as freqkd_lite.spectrum.split_bands does, and draws.

// As in spectrum.py: a bin on the edge is low, whatever the rounding.
const SLACK = 1e-9, SOFT_WIDTH = 0.25, LIMITS = { rectangle: 1, disk: 1.4143 };

// ---- the arithmetic (tested against split_bands) -------------------------------------------

// Frequency of bin i of n, in cycles per sample; that of an FFT has a sign.
const frequency = (i, n, kind) =>
  kind === "dct" ? i / (2 * n) : (i < (n + 1) / 2 ? i : i - n) / n;

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

// One axis forth: an FFT, or a DCT-II by an FFT of the even entries and then the odd ones backwards
// (Makhoul 1980). As `transform`: first axis of (n, m), unscaled, returns [result, free].
export function forth(src, dst, n, m, kind) {
  if (kind !== "dct") return transform(src, dst, n, m, -1);
  shuffle(src, dst, n, m, true);
  [dst, src] = transform(dst, src, n, m, -1);
  for (let k = 0; k < n; k++) {
    const c = Math.cos((Math.PI * k) / (2 * n)) / 2, s = Math.sin((Math.PI * k) / (2 * n)) / 2;
    const o = k * m, back = ((n - k) % n) * m;
    for (let v = 0; v < m; v++) {
      const a = dst[0][o + v], b = dst[1][o + v], p = dst[0][back + v], q = dst[1][back + v];
      src[0][o + v] = c * (a + p) + s * (b - q);
      src[1][o + v] = c * (b + q) - s * (a - p);
    }
  }
  return [src, dst];
}

// The way back, n times too large.
export function back(src, dst, n, m, kind) {
  if (kind !== "dct") return transform(src, dst, n, m, 1);
  for (let k = 0; k < n; k++) {
    const c = Math.cos((Math.PI * k) / (2 * n)), s = Math.sin((Math.PI * k) / (2 * n));
    const o = k * m, mirror = (n - k) * m;
    for (let v = 0; v < m; v++) {
      const re = src[0][o + v] + (k ? src[1][mirror + v] : 0);
      const im = src[1][o + v] - (k ? src[0][mirror + v] : 0);
      dst[0][o + v] = c * re - s * im;
      dst[1][o + v] = c * im + s * re;
    }
  }
  [dst, src] = transform(dst, src, n, m, 1);
  shuffle(dst, src, n, m, false);
  return [src, dst];
}

// Rows 0, 2, 4, ... and then ..., 5, 3, 1; or those back in their order.
function shuffle(src, dst, n, m, forward) {
  for (let i = 0; i < n; i++) {
    const place = i % 2 ? n - 1 - (i - 1) / 2 : i / 2, [a, b] = forward ? [i, place] : [place, i];
    for (let part = 0; part < 2; part++)
      dst[part].set(src[part].subarray(a * m, (a + 1) * m), b * m);
  }
}

// How far each bin (row y, column x) is low, 0 to 1, as spectrum.band_mask has it.
export function lowMask(h, w, { cutoff, shape, edge, transform: kind }) {
  const mask = new Float64Array(h * w), limit = LIMITS[shape];
  const width = Math.min(SOFT_WIDTH, 2 * cutoff, 2 * (limit - cutoff));
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
    const fy = Math.abs(frequency(y, h, kind)), fx = Math.abs(frequency(x, w, kind));
    const at = shape === "disk" ? Math.sqrt(fy * fy + fx * fx) / 0.5 : 2 * Math.max(fy, fx);
    const across = Math.min(1, Math.max(0, (at - cutoff) / width + 0.5));
    mask[y * w + x] = edge !== "soft" ? at <= cutoff + SLACK
      : width > 0 ? (1 + Math.cos(Math.PI * across)) / 2 : 1;
  }
  return mask;
}

// Prepares channels (arrays of h * w) for a transform; returns low(band) -> their low bands, for
// a band { cutoff, shape, edge }. Two real channels travel as one complex one: transforms are
// linear and the mask is symmetric, so they come back apart.
export function splitter(channels, h, w, kind = "fft") {
  const spectra = [], size = h * w;
  let work = complex(size), spare = complex(size);
  for (let i = 0; i < channels.length; i += 2) {
    work[0].set(channels[i]);
    if (i + 1 < channels.length) work[1].set(channels[i + 1]);
    else work[1].fill(0);
    [work, spare] = forth(work, spare, h, w, kind);
    transpose(work, spare, h, w); // (x, y) from here on
    [spare, work] = forth(spare, work, w, h, kind);
    spectra.push(spare.map((part) => part.slice()));
  }
  const out = channels.map(() => new Float64Array(size));
  return (band) => {
    const mask = lowMask(h, w, { ...band, transform: kind }), rows = [];
    for (let y = 0; y < h; y++) if (mask[y * w]) rows.push(y); // other rows hold nothing low
    const kept = rows.length;
    spectra.forEach(([re, im], pair) => {
      for (let x = 0; x < w; x++) for (let k = 0; k < kept; k++) {
        const low = mask[rows[k] * w + x];
        work[0][x * kept + k] = low * re[x * h + rows[k]];
        work[1][x * kept + k] = low * im[x * h + rows[k]];
      }
      [work, spare] = back(work, spare, w, kept, kind);
      for (const part of spare) part.fill(0);
      for (let k = 0; k < kept; k++) for (let x = 0; x < w; x++) {
        spare[0][rows[k] * w + x] = work[0][x * kept + k];
        spare[1][rows[k] * w + x] = work[1][x * kept + k];
      }
      [work, spare] = back(spare, work, h, w, kind);
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

const FADER_STYLE = `
.freqkd-fader .panels {
  grid-template-columns: minmax(0, 1fr) 24px minmax(0, 1fr) 24px minmax(0, 1fr); }
.freqkd-fader .sign { grid-row: 2; place-self: center; font-size: 20px; text-align: center; }
.freqkd-fader .coarse canvas { image-rendering: pixelated; }
.freqkd-fader .curve { display: block; width: 100%; height: 52px; padding: 0 8px; }
.freqkd-fader .meter { height: 6px; margin-top: 4px; border: 1px solid; border-radius: 3px; }
.freqkd-fader .meter i { display: block; height: 100%; }
.freqkd-fader .small { display: flex; gap: 8px; align-items: flex-start; }
.freqkd-fader .small canvas { width: 48px; flex: none; }`;

// The divergence curve under the slider, on the same axis: what lies left of the cutoff is low.
function curveOf({ x, divergence, top }, colours) {
  const line = { fill: "none", "vector-effect": "non-scaling-stroke" };
  const all = points(x, divergence, 1000, 100, top), one = 100 * (1 - 1 / top);
  const area = `${1000 * x[0]},100 ${all} ${1000 * x.at(-1)},100`;
  const sides = colours.slice(0, 2).map((colour) => svg("rect", { y: 0, height: 100, fill: colour }));
  const clip = `freqkd-${Math.random().toString(36).slice(2)}`, cut = svg("line", { ...line,
    y1: 0, y2: 100, stroke: "currentColor", "stroke-width": 2 });
  const node = svg("svg", { class: "curve", viewBox: "0 0 1000 100", preserveAspectRatio: "none",
    "aria-hidden": "true" },
    svg("clipPath", { id: clip }, svg("polygon", { points: area })),
    svg("g", { "clip-path": `url(#${clip})`, opacity: 0.45 }, ...sides),
    svg("line", { ...line, x1: 0, x2: 1000, y1: 100, y2: 100, stroke: "currentColor", opacity: 0.5 }),
    svg("line", { ...line, x1: 0, x2: 1000, y1: one, y2: one, stroke: "currentColor",
      "stroke-dasharray": "4 4", opacity: 0.6 }),
    svg("polyline", { ...line, points: all, stroke: "currentColor", "stroke-width": 1.5 }), cut);
  return { node, at(share) {
    const x = 1000 * share;
    cut.setAttribute("x1", x);
    cut.setAttribute("x2", x);
    sides[0].setAttribute("width", x);
    sides[1].setAttribute("x", x);
    sides[1].setAttribute("width", 1000 - x);
  } };
}

function render({ model, el }) {
  const spec = model.get("_spec"), { height: h, width: w, steps: states } = spec;
  const channels = channelsOf(spec, viewOf(model.get("_pixels")));
  const low = splitter(channels, h, w, spec.transform);

  const cutoff = slider(states.length, spec.label), box = make("input", { type: "checkbox" });
  const number = make("output"), readout = make("div", { class: "readout" });
  const curve = curveOf(spec.curve, spec.colours);
  const parts = spec.colours.map((colour) => {
    const canvas = make("canvas", { role: "img", width: w, height: h });
    return { ...figure("", colour, canvas), image: new ImageData(w, h),
      context: canvas.getContext("2d") };
  });
  for (const { image } of parts) image.data.fill(255); // opaque
  const meters = [0, 1].map((i) => {
    const text = make("div"), bar = make("i", { style: `background:${spec.colours[i]}` });
    parts[i].caption.append(text, make("div", { class: "meter", "aria-hidden": "true" }, bar));
    return { text, bar };
  });
  const small = make("canvas", { role: "img", width: 96, height: Math.round((96 * h) / w) });
  if (spec.thumbnail)
    parts[2].caption.append(make("div", { class: "small" }, small, spec.question));

  const sign = (text) => make("div", { class: "sign", "aria-hidden": "true" }, text);
  const [a, b, c] = parts.map((part) => part.figure);
  const root = make("div", { class: "freqkd freqkd-fader", role: "group", "aria-label": spec.title },
    make("style", {}, STYLE + FADER_STYLE),
    make("div", { class: "controls" },
      make("div", { class: "knob" }, make("span", {}, "Cutoff"), cutoff, number,
        make("span", {}, "Divergence"), curve.node, make("span")),
      make("label", { class: "tick" }, box, " " + spec.swap_label)),
    readout, make("div", { class: spec.thumbnail ? "panels" : "panels coarse" },
      a, sign("+"), b, sign("="), c),
    make("div", { class: "footnote" }, spec.footnote));
  el.append(root);

  let lows = null, drawn = null;
  function draw() {
    const step = states[cutoff.value], side = box.checked ? 1 : 0, text = spec.panels[side];
    if (drawn !== step) lows = low({ ...spec, cutoff: step.cutoff });
    drawn = step;
    panels(spec, channels, lows, box.checked, parts.map((part) => part.image.data));
    parts.forEach((part, i) => {
      part.context.putImageData(part.image, 0, 0);
      part.title.textContent = text[i];
      part.node.setAttribute("aria-label",
        `${text[i]}, ${spec.about}. ${step.spoken}. ${spec.looks[i][i < 2 ? step.detail : side]}.`);
    });
    number.textContent = step.number;
    readout.replaceChildren(step.readout, make("br"), step.parting);
    curve.at(cutoff.value / (states.length - 1));
    cutoff.setAttribute("aria-valuetext", `${step.spoken}. ${step.parting}`);
    meters.forEach(({ text: label, bar }, i) => {
      const source = i === side ? 0 : 1; // low of one, high of the other
      label.textContent = `${step.shares[source][i]} % of ${spec.energy[source]}`;
      bar.style.width = `${step.shares[source][i]}%`;
    });
    if (spec.thumbnail) {
      const context = small.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(parts[2].node, 0, 0, small.width, small.height);
      small.setAttribute("aria-label", `${text[2]}, as a thumbnail.`);
    }
  }
  const { stop } = bind(model,
    { cutoff: steps(cutoff, states.map((step) => step.cutoff)), swap: tick(box) }, draw);
  return () => { stop(); root.remove(); };
}

export default { render };
