// Two valleys: one slider, three losses, a ball on each. Costs and slopes come from Python; this
// module draws them, and moves each ball down its own slope.

const STYLE = `
.freqkd-valleys { font: 14px system-ui, sans-serif; color: inherit; max-width: 1000px; }
.freqkd-valleys .panels { display: grid; gap: 16px; margin-top: 8px;
  grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); }
.freqkd-valleys svg { width: 100%; height: auto; }
.freqkd-valleys svg text { fill: currentColor; font-size: 12px; text-anchor: middle; }
.freqkd-valleys .controls { display: flex; flex-wrap: wrap; gap: 12px; align-items: center; }
.freqkd-valleys input { flex: 1 1 220px; }
.freqkd-valleys .panels div div { font-variant-numeric: tabular-nums; line-height: 1.4;
  min-height: 2.8em; } /* room for a second line: nothing jumps */
.freqkd-valleys button { font: inherit; padding: 4px 12px; }`;
const WIDTH = 240, HEIGHT = 160, TOP = 4.5, REACH = 40;

// The value at t of a table over evenly spaced steps, on straight lines.
export function between(steps, values, t) {
  const place = ((t - steps[0]) / (steps.at(-1) - steps[0])) * (steps.length - 1);
  const i = Math.max(0, Math.min(steps.length - 2, Math.floor(place)));
  return values[i] + (values[i + 1] - values[i]) * (place - i);
}

// One step of a ball: down the slope, no faster than the rate, and not off the ends.
export function moved({ steps, rate }, { slope }, t) {
  const push = Math.max(-1, Math.min(1, between(steps, slope, t)));
  return Math.max(steps[0], Math.min(steps.at(-1), t - rate * push));
}

function node(tag, attributes = {}, ...children) {
  const drawn = ["svg", "g", "polyline", "circle", "line", "text"].includes(tag);
  const made = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A loss's valley with its ball and arrow; `show(t)` moves them and returns the words for it.
function valley(spec, loss) {
  const x = (t) => ((t + 2) / 4) * WIDTH;
  const y = (t) => 8 + HEIGHT * (1 - Math.min(TOP, between(spec.steps, loss.cost, t)) / TOP);
  const ball = node("circle", { r: 7, fill: loss.colour, stroke: "currentColor" });
  const arrow = node("line", { class: "arrow", stroke: "currentColor", "stroke-width": 3 });
  const head = node("polyline", { fill: "none", stroke: "currentColor", "stroke-width": 3 });
  const foot = HEIGHT + 10;
  const marks = spec.marks.flatMap(([t, word]) => [
    node("line", { x1: x(t), x2: x(t), y1: foot, y2: foot + 5, stroke: "currentColor" }),
    node("text", { x: x(t), y: foot + 18 }, `${t}`),
    node("text", { x: x(t), y: foot + 32 }, word)]);
  const drawing = node("svg", { viewBox: `-24 0 ${WIDTH + 48} ${foot + 38}`, role: "img" },
    node("line", { x1: 0, x2: WIDTH, y1: foot, y2: foot, stroke: "currentColor", opacity: 0.4 }),
    node("polyline", { fill: "none", stroke: loss.colour, "stroke-width": 3,
      points: spec.steps.filter((t, i) => loss.cost[i] < TOP).map((t) => `${x(t)},${y(t)}`)
        .join(" ") }), arrow, head, ball, ...marks);
  const words = node("div");
  return { panel: node("div", {}, node("strong", {}, loss.name), drawing, words), show(t) {
    const slope = between(spec.steps, loss.slope, t);
    const cx = x(t), cy = y(t) - 8, push = -Math.max(-1, Math.min(1, slope / 2)) * REACH;
    for (const [name, value] of Object.entries({ cx, cy })) ball.setAttribute(name, value);
    const tip = cx + push, side = Math.sign(push) * Math.min(6, Math.abs(push));
    for (const [name, value] of Object.entries({ x1: cx, x2: tip, y1: cy, y2: cy }))
      arrow.setAttribute(name, value);
    head.setAttribute("points", `${tip - side},${cy - 5} ${tip},${cy} ${tip - side},${cy + 5}`);
    const cost = between(spec.steps, loss.cost, t).toFixed(2);
    const steep = (Math.abs(slope) < 0.005 ? 0 : slope).toFixed(2);
    words.textContent = `t ${t.toFixed(2)}, cost ${cost}, slope ${steep}`;
    drawing.setAttribute("aria-label", `${loss.name}: ${words.textContent}`);
  } };
}

function render({ model, el }) {
  const spec = model.get("_spec"), parts = spec.losses.map((loss) => valley(spec, loss));
  const input = node("input", { type: "range", min: -2, max: 2, step: 0.05,
    "aria-label": spec.label });
  const button = node("button", { type: "button" }, spec.roll);
  const root = node("div", { class: "freqkd-valleys", role: "group", "aria-label": spec.title },
    node("style", {}, STYLE), node("label", {}, spec.label),
    node("div", { class: "controls" }, input, button),
    node("div", { class: "panels" }, ...parts.map((part) => part.panel)));
  el.append(root);

  let balls = [], frame = 0;
  const show = () => parts.forEach((part, i) => part.show(balls[i]));
  const put = () => {
    cancelAnimationFrame(frame);
    input.value = model.get("t");
    balls = parts.map(() => model.get("t"));
    show();
  };
  const step = () => {
    const next = balls.map((t, i) => moved(spec, spec.losses[i], t));
    const resting = next.every((t, i) => Math.abs(t - balls[i]) < 1e-4);
    balls = next;
    return resting;
  };
  const roll = () => {
    cancelAnimationFrame(frame);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      for (let i = 0; i < 600 && !step(); i++);
      show();
      return;
    }
    const resting = step();
    show();
    if (!resting) frame = requestAnimationFrame(roll);
  };
  input.addEventListener("input", () => {
    model.set("t", Number(input.value));
    model.save_changes();
    put();
  });
  input.addEventListener("change", roll); // let go
  button.addEventListener("click", roll);
  model.on("change:t", put);
  put();
  return () => { cancelAnimationFrame(frame); model.off("change:t", put); root.remove(); };
}

export default { render };
