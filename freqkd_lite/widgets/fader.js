// The fader: low band of one modality + high band of the other = hybrid, redrawn as you drag.
// Python prepares the picture (bytes), numbers and text; this module splits the bands as
// freqkd_lite.spectrum.split_bands does, and draws.

// As in spectrum.py: a bin on the edge is low, whatever the rounding.
const MOST_KEPT = 64e6, FRAME_TIME = 17; // bytes, ms
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

// Butterflies: r rows of m numbers of [x, y], the first at `from` and then `gap` apart, each times
// its twiddle [c, d], go to r rows of [p, q], at `to` and then `hop` apart. Inputs s and r - s meet
// one cosine and opposite sines, and so do outputs t and r - t: these share all products.
function pair([p, q], t, u, a, b, e, f) {
  p[t] = a - f;
  q[t] = b + e;
  p[u] = a + f;
  q[u] = b - e;
}

function two([x, y], [p, q], m, from, gap, to, hop, [, c], [, d]) {
  for (let v = 0; v < m; v++) {
    const i = from + v, j = i + gap, o = to + v;
    const a = x[i], b = y[i], e = c * x[j] - d * y[j], f = c * y[j] + d * x[j];
    p[o] = a + e;
    q[o] = b + f;
    p[o + hop] = a - e;
    q[o + hop] = b - f;
  }
}

function three([x, y], out, m, from, gap, to, hop, [, c1, c2], [, d1, d2], sign) {
  const [p, q] = out, w = sign * Math.sqrt(0.75);
  for (let v = 0; v < m; v++) {
    const i = from + v, j = i + gap, k = j + gap, o = to + v;
    const a1 = c1 * x[j] - d1 * y[j], b1 = c1 * y[j] + d1 * x[j];
    const a2 = c2 * x[k] - d2 * y[k], b2 = c2 * y[k] + d2 * x[k];
    const a = x[i], b = y[i], s = a1 + a2, t = b1 + b2;
    pair(out, o + hop, o + 2 * hop, a - s / 2, b - t / 2, w * (a1 - a2), w * (b1 - b2));
    p[o] = a + s;
    q[o] = b + t;
  }
}

function four([x, y], out, m, from, gap, to, hop, [, c1, c2, c3], [, d1, d2, d3], sign) {
  const [p, q] = out;
  for (let v = 0; v < m; v++) {
    const i = from + v, j = i + gap, k = j + gap, l = k + gap, o = to + v;
    const a1 = c1 * x[j] - d1 * y[j], b1 = c1 * y[j] + d1 * x[j];
    const a2 = c2 * x[k] - d2 * y[k], b2 = c2 * y[k] + d2 * x[k];
    const a3 = c3 * x[l] - d3 * y[l], b3 = c3 * y[l] + d3 * x[l];
    const a = x[i] + a2, b = y[i] + b2, s = a1 + a3, t = b1 + b3;
    pair(out, o + hop, o + 3 * hop, x[i] - a2, y[i] - b2, sign * (a1 - a3), sign * (b1 - b3));
    p[o] = a + s;
    q[o] = b + t;
    p[o + 2 * hop] = a - s;
    q[o + 2 * hop] = b - t;
  }
}

function seven([x, y], out, m, from, gap, to, hop,
  [, c1, c2, c3, c4, c5, c6], [, d1, d2, d3, d4, d5, d6], sign) {
  const [p, q] = out, angles = [1, 2, 3].map((s) => (2 * Math.PI * s) / 7);
  const [u1, u2, u3] = angles.map(Math.cos), [w1, w2, w3] = angles.map((s) => sign * Math.sin(s));
  for (let v = 0; v < m; v++) {
    const i = from + v, i1 = i + gap, i2 = i1 + gap, i3 = i2 + gap, i4 = i3 + gap, i5 = i4 + gap;
    const i6 = i5 + gap, o = to + v, a = x[i], b = y[i];
    const a1 = c1 * x[i1] - d1 * y[i1], b1 = c1 * y[i1] + d1 * x[i1];
    const a2 = c2 * x[i2] - d2 * y[i2], b2 = c2 * y[i2] + d2 * x[i2];
    const a3 = c3 * x[i3] - d3 * y[i3], b3 = c3 * y[i3] + d3 * x[i3];
    const a4 = c4 * x[i4] - d4 * y[i4], b4 = c4 * y[i4] + d4 * x[i4];
    const a5 = c5 * x[i5] - d5 * y[i5], b5 = c5 * y[i5] + d5 * x[i5];
    const a6 = c6 * x[i6] - d6 * y[i6], b6 = c6 * y[i6] + d6 * x[i6];
    const s1 = a1 + a6, t1 = b1 + b6, e1 = a1 - a6, f1 = b1 - b6;
    const s2 = a2 + a5, t2 = b2 + b5, e2 = a2 - a5, f2 = b2 - b5;
    const s3 = a3 + a4, t3 = b3 + b4, e3 = a3 - a4, f3 = b3 - b4;
    p[o] = a + s1 + s2 + s3;
    q[o] = b + t1 + t2 + t3;
    pair(out, o + hop, o + 6 * hop, a + u1 * s1 + u2 * s2 + u3 * s3,
      b + u1 * t1 + u2 * t2 + u3 * t3, w1 * e1 + w2 * e2 + w3 * e3, w1 * f1 + w2 * f2 + w3 * f3);
    pair(out, o + 2 * hop, o + 5 * hop, a + u2 * s1 + u3 * s2 + u1 * s3,
      b + u2 * t1 + u3 * t2 + u1 * t3, w2 * e1 - w3 * e2 - w1 * e3, w2 * f1 - w3 * f2 - w1 * f3);
    pair(out, o + 3 * hop, o + 4 * hop, a + u3 * s1 + u1 * s2 + u2 * s3,
      b + u3 * t1 + u1 * t2 + u2 * t3, w3 * e1 - w1 * e2 + w2 * e3, w3 * f1 - w1 * f2 + w2 * f3);
  }
}

// Any other odd radix.
function odd([x, y], out, m, from, gap, to, hop, c, d, sign, r) {
  const [p, q] = out, half = (r - 1) / 2, row = () => new Float64Array(r);
  const cos = row(), sin = row(), s = row(), t = row(), e = row(), f = row();
  for (let i = 0; i < r; i++) {
    cos[i] = Math.cos((2 * Math.PI * i) / r);
    sin[i] = sign * Math.sin((2 * Math.PI * i) / r);
  }
  for (let v = 0; v < m; v++) {
    const o = to + v;
    p[o] = x[from + v];
    q[o] = y[from + v];
    for (let h = 1; h <= half; h++) {
      const u = r - h, i = from + h * gap + v, j = from + u * gap + v;
      const a1 = c[h] * x[i] - d[h] * y[i], b1 = c[h] * y[i] + d[h] * x[i];
      const a2 = c[u] * x[j] - d[u] * y[j], b2 = c[u] * y[j] + d[u] * x[j];
      p[o] += s[h] = a1 + a2;
      q[o] += t[h] = b1 + b2;
      e[h] = a1 - a2;
      f[h] = b1 - b2;
    }
    for (let k = 1; k <= half; k++) {
      let a = x[from + v], b = y[from + v], across = 0, along = 0;
      for (let h = 1; h <= half; h++) {
        const turn = (h * k) % r;
        a += cos[turn] * s[h];
        b += cos[turn] * t[h];
        across += sin[turn] * e[h];
        along += sin[turn] * f[h];
      }
      pair(out, o + k * hop, o + (r - k) * hop, a, b, across, along);
    }
  }
}

const BUTTERFLIES = { 2: two, 3: three, 4: four, 7: seven };

// Unscaled DFT along the first axis of a complex (n, m) array [re, im]; sign -1 forward, 1 back.
// Stockham's autosort with mixed radices (any n). Overwrites both buffers; returns [result, free].
export function transform(src, dst, n, m, sign) {
  let l = 1;
  for (const r of factors(n)) {
    const q = n / (l * r), butterfly = BUTTERFLIES[r] ?? odd;
    for (let j = 0; j < l; j++) {
      const angles = Array.from({ length: r }, (_, s) => (sign * 2 * Math.PI * s * j) / (l * r));
      const c = angles.map(Math.cos), d = angles.map(Math.sin);
      for (let k = 0; k < q; k++)
        butterfly(src, dst, m, (k * l + j) * m, q * l * m, (k * r * l + j) * m, l * m,
          c, d, sign, r);
    }
    [src, dst] = [dst, src];
    l *= r;
  }
  return [src, dst];
}

const complex = (n) => [new Float64Array(n), new Float64Array(n)];

// Column j of an (n, m) array to row `rows[j]` of one of rows of n.
function transpose([a, b], [p, q], n, m, rows) {
  for (let j = 0; j < m; j++) for (let i = 0, o = rows[j] * n; i < n; i++) {
    p[o + i] = a[i * m + j];
    q[o + i] = b[i * m + j];
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
  const [a, b] = src, [p, q] = dst;
  for (let k = 0; k < n; k++) {
    const c = Math.cos((Math.PI * k) / (2 * n)), s = Math.sin((Math.PI * k) / (2 * n));
    const o = k * m, mirror = (n - k) * m;
    for (let v = 0; v < m; v++) {
      const re = a[o + v] + (k ? b[mirror + v] : 0), im = b[o + v] - (k ? a[mirror + v] : 0);
      p[o + v] = c * re - s * im;
      q[o + v] = c * im + s * re;
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
  const [down, along] = [h, w].map((n) =>
    Float64Array.from({ length: n }, (_, i) => 2 * Math.abs(frequency(i, n, kind))));
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
    const fy = down[y], fx = along[x];
    const at = shape === "disk" ? Math.sqrt(fy * fy + fx * fx) : Math.max(fy, fx);
    const across = (at - cutoff) / width + 0.5; // 0 to 1 from one side of a soft edge to the other
    mask[y * w + x] = edge !== "soft" ? at <= cutoff + SLACK
      : width <= 0 || across <= 0 ? 1 : across < 1 ? (1 + Math.cos(Math.PI * across)) / 2 : 0;
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
    transpose(work, spare, h, w, [...Array(w).keys()]); // (x, y) from here on
    [spare, work] = forth(spare, work, w, h, kind);
    spectra.push(spare.map((part) => part.map((value) => value / size))); // both ways: size times
  }
  const out = channels.map(() => new Float64Array(size));
  return (band) => {
    const mask = lowMask(w, h, { ...band, transform: kind }), rows = []; // (x, y) as well
    for (let y = 0; y < h; y++) if (mask[y]) rows.push(y); // other rows hold nothing low
    const kept = rows.length;
    spectra.forEach(([re, im], pair) => {
      const [a, b] = work;
      for (let x = 0, o = 0; x < w; x++) for (let k = 0; k < kept; k++, o++) {
        const i = x * h + rows[k];
        a[o] = mask[i] * re[i];
        b[o] = mask[i] * im[i];
      }
      [work, spare] = back(work, spare, w, kept, kind);
      for (const part of spare) part.fill(0);
      transpose(work, spare, w, kept, rows);
      [work, spare] = back(spare, work, h, w, kind);
      for (let c = 0; c < 2 && 2 * pair + c < out.length; c++) out[2 * pair + c].set(work[c]);
    });
    return out;
  };
}

// What `split` gives at each of `cutoffs`, by its number, kept. While the page has nothing else to
// do the others are computed ahead, the nearest to `first` first, so that a drag finds them ready.
export function ahead(split, cutoffs, first, bytes) {
  const kept = cutoffs.map(() => null), fits = bytes * cutoffs.length <= MOST_KEPT;
  const order = cutoffs.map((_, i) => i).sort((a, b) => Math.abs(a - first) - Math.abs(b - first));
  const at = (i) => {
    if (kept[i]) return kept[i];
    const found = split(cutoffs[i]);
    return fits ? (kept[i] = found.map((part) => new Float32Array(part))) : found;
  };
  let timer = 0;
  const work = (idle) => {
    const left = order.filter((i) => !kept[i]);
    // With less time than a frame's, something is being drawn.
    while (left.length && idle.timeRemaining() > FRAME_TIME) at(left.shift());
    if (left.length) timer = window.requestIdleCallback(work);
  };
  if (fits) timer = window.requestIdleCallback?.(work); // not in Safari
  return { at, stop: () => window.cancelIdleCallback?.(timer) };
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

// What Python says of its own pair, of any: the energy of its parts in both bands in %, [[low, high]
// of RGB, of infrared], and the divergences of the luminance (ITU-R BT.601) in both bands.
export function numbersOf({ channels: [n, m], edge }, channels, lows) {
  const size = channels[0].length, weights = [0.2989, 0.587, 0.114], sides = [[0, n], [n, n + m]];
  const energy = (x, y) => { // of x - y without its mean
    let sum = 0, squares = 0;
    for (let p = 0; p < size; p++) {
      const value = y ? x[p] - y[p] : x[p];
      sum += value;
      squares += value * value;
    }
    return Math.max(0, squares - (sum * sum) / size); // rounding can make it less
  };
  const grey = (maps, [from, to]) => {
    const out = new Float64Array(size);
    weights.forEach((weight, c) => {
      const x = maps[Math.min(from + c, to - 1)];
      for (let p = 0; p < size; p++) out[p] += weight * x[p];
    });
    return out;
  };
  const shares = sides.map(([from, to]) => {
    let all = 0, low = 0, high = 0;
    for (let c = from; c < to; c++) {
      all += energy(channels[c]);
      low += energy(lows[c]);
      high += energy(channels[c], lows[c]);
    }
    const [a, b] = [low, high].map((part) => ((100 * part) / (all || 1)).toFixed(1));
    return [a, edge === "soft" ? b : (100 - a).toFixed(1)];
  });
  const [whole, low] = [channels, lows].map((maps) => sides.map((side) => grey(maps, side)));
  const high = whole.map((x, side) => x.map((v, p) => v - low[side][p]));
  const floor = 1e-9 * (energy(whole[0]) + energy(whole[1]));
  const divergences = [low, high].map(([a, b]) => {
    const both = energy(a) + energy(b);
    return both < floor ? "none" : (energy(a, b) / both).toFixed(2);
  });
  return { shares, divergences };
}

// ---- the page --------------------------------------------------------------------------------

// A picture's file as three channels of h by w, cut to that shape around its middle.
async function channelsOfFile(file, h, w) {
  const image = await createImageBitmap(file);
  const scale = Math.max(w / image.width, h / image.height);
  const [across, down] = [scale * image.width, scale * image.height];
  const context = new OffscreenCanvas(w, h).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (w - across) / 2, (h - down) / 2, across, down);
  const { data } = context.getImageData(0, 0, w, h);
  return [0, 1, 2].map((c) => Float64Array.from({ length: h * w }, (_, p) => data[4 * p + c] / 255));
}

const OWN = "Your own pictures: choose or drop an RGB one, or that and an infrared one. They stay in "
  + "this page: nothing is sent. ";

const FADER_STYLE = `
.freqkd-fader .panels {
  grid-template-columns: minmax(0, 1fr) 24px minmax(0, 1fr) 24px minmax(0, 1fr); }
.freqkd-fader .sign { grid-row: 2; place-self: center; font-size: 20px; text-align: center; }
.freqkd-fader .own { margin-top: 6px; font-size: 0.93em; }
.freqkd-fader .own input { font: inherit; max-width: 100%; }
.freqkd-fader.others .curve, .freqkd-fader.others .curve-label { visibility: hidden; }
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
    set(cut, { x1: x, x2: x });
    set(sides[0], { width: x });
    set(sides[1], { x, width: 1000 - x });
  } };
}

function render({ model, el }) {
  const spec = model.get("spec"), { height: h, width: w, steps: states } = spec;
  const cutoffs = states.map((s) => s.cutoff);
  let channels = channelsOf(spec, viewOf(model.get("pixels"))), shown = spec, low = null;

  const cutoff = slider(states.length, spec.label), box = make("input", { type: "checkbox" });
  const number = room("output", states.map((s) => s.number));
  const wave = room("div", states.map((s) => s.readout));
  const divergence = room("div", states.map((s) => s.divergence));
  const curve = curveOf(spec.curve, spec.colours);
  const parts = spec.colours.map((colour) => {
    const canvas = make("canvas", { role: "img", width: w, height: h });
    return { ...figure("", colour, canvas), image: new ImageData(w, h),
      context: canvas.getContext("2d") };
  });
  for (const { image } of parts) image.data.fill(255); // opaque
  const meters = [0, 1].map((i) => {
    const text = room("div", spec.energy.map((name) => `100.0 % of ${name}`));
    const bar = make("i", { style: `background:${spec.colours[i]}` });
    parts[i].caption.append(text, set(div("meter", bar), { "aria-hidden": "true" }));
    return { text, bar };
  });
  const small = make("canvas", { role: "img", width: 96, height: Math.round((96 * h) / w) });
  if (spec.thumbnail)
    parts[2].caption.append(div("small", small, spec.question));

  const file = make("input", { type: "file", accept: "image/*", multiple: "" });
  const status = make("span", { role: "status" });
  const sign = (text) => set(div("sign", text), { "aria-hidden": "true" });
  const [a, b, c] = parts.map((part) => part.figure);
  const root = mount(el, "fader", spec.title, FADER_STYLE,
    div("controls",
      div("knob", make("span", {}, "Cutoff"), cutoff, number,
        make("span", { class: "curve-label" }, "Divergence"), curve.node, make("span")),
      make("label", { class: "tick" }, box, " " + spec.swap_label)),
    div("readout", wave, divergence),
    div(spec.thumbnail ? "panels" : "panels coarse", a, sign("+"), b, sign("="), c),
    ...(spec.thumbnail ? [div("own", make("label", {}, OWN, file), " ", status)] : []),
    div("footnote", spec.footnote));

  function start() {
    low?.stop();
    const split = splitter(channels, h, w, spec.transform);
    low = ahead((c) => split({ ...spec, cutoff: c }), cutoffs,
      cutoffs.indexOf(model.get("cutoff")), 4 * h * w * channels.length);
  }
  function stepOf(lows) {
    const step = states[cutoff.value];
    if (shown === spec) return step;
    const { shares, divergences: [a, b] } = numbersOf(shown, channels, lows);
    const scale = step.divergence.split(": ")[0];
    return { ...step, shares, divergence: `${scale}: low band ${a}, high band ${b}` };
  }
  async function take(files) {
    const chosen = [...files].slice(0, 2), names = chosen.map((each) => each.name).join(" and ");
    try {
      const [rgb, heat] = await Promise.all(chosen.map((each) => channelsOfFile(each, h, w)));
      if (!rgb) return;
      const second = heat ?? channels.slice(shown.channels[0]);
      channels = [...rgb, ...second];
      shown = { ...spec, channels: [3, second.length], about: names };
    } catch {
      status.textContent = `${names}: no picture that this browser reads.`;
      return;
    }
    status.textContent = `Shown: ${names}.`;
    root.classList.add("others");
    start();
    ask();
  }
  if (spec.thumbnail) {
    file.addEventListener("change", () => take(file.files));
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      take(event.dataTransfer.files);
    });
  }

  function draw() {
    const lows = low.at(Number(cutoff.value));
    const step = stepOf(lows), side = box.checked ? 1 : 0, text = spec.panels[side];
    panels(shown, channels, lows, box.checked, parts.map((part) => part.image.data));
    parts.forEach((part, i) => {
      part.context.putImageData(part.image, 0, 0);
      part.title.textContent = text[i];
      part.node.setAttribute("aria-label",
        `${text[i]}, ${shown.about}. ${step.spoken}.`);
    });
    say(number, step.number);
    say(wave, step.readout);
    say(divergence, step.divergence);
    curve.at(cutoff.value / (states.length - 1));
    cutoff.setAttribute("aria-valuetext", `${step.spoken}. ${step.divergence}`);
    meters.forEach(({ text: label, bar }, i) => {
      const source = i === side ? 0 : 1; // low of one, high of the other
      say(label, `${step.shares[source][i]} % of ${spec.energy[source]}`);
      bar.style.width = `${step.shares[source][i]}%`;
    });
    if (spec.thumbnail) {
      const context = small.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(parts[2].node, 0, 0, small.width, small.height);
      small.setAttribute("aria-label", `${text[2]}, as a thumbnail.`);
    }
  }
  start();
  const { ask, stop } = bind(model, { cutoff: steps(cutoff, cutoffs), swap: tick(box) }, draw);
  return () => { stop(); low.stop(); root.remove(); };
}

export default { render };
