// What the browser tests call on their pages; every page of theirs loads this file.

// A canvas: height, width, then its pixels.
window.readPixels = (canvas) => {
  const { width, height } = canvas, copy = new OffscreenCanvas(width, height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return [height, width, ...context.getImageData(0, 0, width, height).data];
};

// Every position of the sliders, the last one fastest, and what is on the screen a frame later.
window.sweep = async () => {
  const frame = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
  const sliders = [...document.querySelectorAll("input[type=range]")], found = [];
  const walk = async (depth) => {
    if (depth < sliders.length) {
      for (let i = 0; i <= Number(sliders[depth].max); i++) {
        sliders[depth].value = i;
        sliders[depth].dispatchEvent(new Event("input", { bubbles: true }));
        await walk(depth + 1);
      }
      return;
    }
    await frame();
    const small = [...document.querySelectorAll("figure > canvas")].filter((c) => c.width < 50);
    found.push({
      printed: document.querySelector(".readout").innerText,
      numbers: [...document.querySelectorAll("output")].map((o) => o.textContent),
      line: [...document.querySelectorAll("svg polyline")].at(-1).getAttribute("points"),
      pixels: small.map(readPixels),
    });
  };
  await walk(0);
  return found;
};

// Where everything on each widget stands, over all positions of its sliders or all its patches:
// each arrangement that was seen.
window.still = async () => {
  const parts = "input, canvas, svg, figure, .title, .readout, .footnote";
  const widgets = [...document.querySelectorAll(".freqkd")].map((root) => {
    const moves = [];
    for (const node of root.querySelectorAll("input[type=range]"))
      for (let at = Number(node.min); at <= Number(node.max); at += Number(node.step))
        moves.push(() => {
          node.value = at;
          node.dispatchEvent(new Event("input", { bubbles: true }));
        });
    const asked = root.querySelector("canvas.ask");
    for (let i = 0; asked && i < 48; i++) moves.push(() => {
      const { left, top, width, height } = asked.getBoundingClientRect();
      asked.dispatchEvent(new PointerEvent("pointerdown", {
        clientX: left + (((i % 8) + 0.5) * width) / 8,
        clientY: top + ((Math.floor(i / 8) + 0.5) * height) / 6 }));
    });
    return { root, moves, seen: new Set(), said: new Set() };
  });
  for (let i = 0; widgets.some(({ moves }) => i < moves.length); i++) {
    for (const { moves } of widgets) moves[i]?.();
    await new Promise((go) => requestAnimationFrame(go));
    for (const { root, seen, said } of widgets) {
      const origin = root.getBoundingClientRect();
      seen.add(JSON.stringify([root, ...root.querySelectorAll(parts)].map((part) => {
        const { x, y, width, height } = part.getBoundingClientRect();
        return [x - origin.x, y - origin.y, width, height].map((v) => v.toFixed(1));
      })));
      said.add(root.innerText);
    }
  }
  return widgets.map(({ root, seen, said }) => [root.className, [...seen], said.size]);
};

// A model of anywidget's kind without a kernel: `saved` is what Python would have heard, and when.
window.listener = (values) => {
  const heard = new Map(), saved = [];
  return {
    values, heard, saved,
    get: (name) => values[name],
    set: (name, value) => {
      if (values[name] === value) return;
      values[name] = value;
      heard.get("change:" + name)?.();
    },
    on: (name, call) => heard.set(name, call),
    off: (name) => heard.delete(name),
    save_changes: () => saved.push([performance.now(), values.cutoff, values.swap]),
  };
};

// A fader on that model. `until` waits for a state and gives up after 20 s; `waiting` holds what
// still runs later.
window.startStage = async ([module, state, pixels]) => {
  const { default: widget } = await import("data:text/javascript;base64," + module);
  const bytes = Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0));
  const model = listener({ ...state, pixels: new DataView(bytes.buffer) });
  const waiting = new Set();
  for (const [ask, cancel] of [["setTimeout", "clearTimeout"],
    ["requestAnimationFrame", "cancelAnimationFrame"],
    ["requestIdleCallback", "cancelIdleCallback"]]) {
    const [asked, cancelled] = [window[ask], window[cancel]];
    window[ask] = (call, ...rest) => {
      const id = asked((...given) => { waiting.delete(ask + id); call(...given); }, ...rest);
      waiting.add(ask + id);
      return id;
    };
    window[cancel] = (id) => { waiting.delete(ask + id); cancelled(id); };
  }
  const el = document.createElement("div");
  document.body.append(el);
  const stop = widget.render({ model, el });
  const slider = el.querySelector("input[type=range]");
  const box = el.querySelector("[type=checkbox]");
  const stage = { model, waiting, el, stop, slider, box, drawn: 0 };
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...a) {
    stage.drawn += el.contains(this.canvas);
    return put.apply(this, a);
  };
  stage.frame = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
  stage.move = (index) => {
    slider.value = index;
    slider.dispatchEvent(new Event("input"));
  };
  stage.until = async (reached) => {
    for (const end = performance.now() + 20000; !reached();) {
      if (performance.now() > end) throw Error("never: " + reached);
      await stage.frame();
    }
  };
  window.stage = stage;
};

// fader.js's `ahead` over a split that notes what it is asked, with idle time given by hand.
window.startAhead = async ([module, size, cutoffs, first, bytes]) => {
  const m = await import("data:text/javascript;base64," + module), [h, w] = size;
  const waiting = [];
  window.requestIdleCallback = (call) => waiting.push(call);
  window.cancelIdleCallback = (id) => { waiting[id - 1] = null; };
  const idle = (looks) => { // `looks` looks at the clock find time left
    let left = looks;
    waiting.pop()?.({ timeRemaining: () => (left-- > 0 ? 40 : 3) });
  };
  const channels = Array.from({ length: 3 }, (_, c) =>
    Float64Array.from({ length: h * w }, (_, p) => Math.sin(p * p * (c + 1)) / 3));
  const at = (split, cutoff) => split({ cutoff, shape: "rectangle", edge: "hard" });
  const split = m.splitter(channels, h, w), asked = [];
  const low = m.ahead((c) => { asked.push(c); return at(split, c); }, cutoffs, first, bytes);
  const direct = m.splitter(channels, h, w);
  const off = (i) => {
    const want = at(direct, cutoffs[i]), got = low.at(i);
    return Math.max(...got.flatMap((part, c) =>
      [...part].map((value, p) => Math.abs(value - Math.fround(want[c][p])))));
  };
  Object.assign(window, { waiting, idle, cutoffs, asked, low, off });
};
