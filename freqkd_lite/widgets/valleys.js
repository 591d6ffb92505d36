// Two valleys: one slider, three losses, a ball on each. Costs and slopes come from Python; this
// module draws them, and moves each ball down its own slope.

const VALLEYS_STYLE = `
.freqkd-valleys .panels { display: grid; gap: 16px; margin-top: 8px;
  grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); grid-template-rows: none; }
.freqkd-valleys figure { grid-row: auto; grid-template-rows: auto; }
.freqkd-valleys svg text { text-anchor: middle; }
.freqkd-valleys .controls { align-items: center; }
.freqkd-valleys .controls input { flex: 1 1 220px; width: auto; }
.freqkd-valleys figcaption { min-height: 2.8em; } /* room for a second line: nothing jumps */
.freqkd-valleys button { font: inherit; padding: 4px 12px; }`;
const LABEL = "t: the student's high band is t times the teacher's; arrows point downhill";
const TITLE = "Two valleys: what a loss charges for t times the teacher's high band";
const WIDTH = 240, HEIGHT = 160, REACH = 40, POSITIONS = 81; // of the slider, from -2 to 2

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

// A loss's valley with its ball and arrow; `show(t)` moves them.
function valley(spec, loss) {
  const x = (t) => ((t + 2) / 4) * WIDTH;
  const y = (t) =>
    8 + HEIGHT * (1 - Math.min(spec.top, between(spec.steps, loss.cost, t)) / spec.top);
  const line = { fill: "none", "stroke-width": 3 };
  const ball = svg("circle", { r: 7, fill: loss.colour, stroke: "currentColor" });
  const arrow = svg("line", { ...line, class: "arrow", stroke: "currentColor" });
  const head = svg("polyline", { ...line, stroke: "currentColor" });
  const foot = HEIGHT + 10, shown = spec.steps.filter((t, i) => loss.cost[i] < spec.top);
  const marks = spec.marks.flatMap(([t, word]) => [
    svg("line", { x1: x(t), x2: x(t), y1: foot, y2: foot + 5, stroke: "currentColor" }),
    svg("text", { x: x(t), y: foot + 18 }, `${t}`),
    svg("text", { x: x(t), y: foot + 32 }, word)]);
  const drawing = svg("svg", { viewBox: `-24 0 ${WIDTH + 48} ${foot + 38}`, role: "img" },
    svg("line", { x1: 0, x2: WIDTH, y1: foot, y2: foot, stroke: "currentColor", opacity: 0.4 }),
    svg("polyline", { ...line, stroke: loss.colour,
      points: shown.map((t) => `${x(t)},${y(t)}`).join(" ") }), arrow, head, ball, ...marks);
  const part = figure(loss.name, loss.colour, drawing);
  return { figure: part.figure, show(t) {
    const slope = between(spec.steps, loss.slope, t), cx = x(t), cy = y(t) - 8;
    const push = -Math.max(-1, Math.min(1, slope / 2)) * REACH, tip = cx + push;
    const side = Math.sign(push) * Math.min(6, Math.abs(push));
    set(ball, { cx, cy });
    set(arrow, { x1: cx, x2: tip, y1: cy, y2: cy });
    set(head, { points: `${tip - side},${cy - 5} ${tip},${cy} ${tip - side},${cy + 5}` });
    const cost = between(spec.steps, loss.cost, t).toFixed(2);
    const steep = (Math.abs(slope) < 0.005 ? 0 : slope).toFixed(2);
    part.caption.textContent = `t ${t.toFixed(2)}, cost ${cost}, slope ${steep}`;
    drawing.setAttribute("aria-label", `${loss.name}: ${part.caption.textContent}`);
  } };
}

function render({ model, el }) {
  const spec = model.get("spec"), parts = spec.losses.map((loss) => valley(spec, loss));
  const values = Array.from({ length: POSITIONS }, (_, i) => i / 20 - 2);
  const input = slider(POSITIONS, LABEL), control = steps(input, values);
  const button = make("button", { type: "button" }, "Let it roll");
  const root = mount(el, "valleys", TITLE, VALLEYS_STYLE, make("label", {}, LABEL),
    div("controls", input, button), div("panels", ...parts.map((part) => part.figure)));

  let balls = [], start = null, frame = 0;
  const show = () => parts.forEach((part, i) => part.show(balls[i]));
  const put = () => { // every ball to where the slider is, unless it started there
    if (control.read() === start) return;
    cancelAnimationFrame(frame);
    start = control.read();
    balls = parts.map(() => start);
    input.setAttribute("aria-valuetext", `t ${start.toFixed(2)}`);
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
  const { stop } = bind(model, { t: control }, put);
  input.addEventListener("change", () => { put(); roll(); }); // let go
  button.addEventListener("click", roll);
  return () => { cancelAnimationFrame(frame); stop(); root.remove(); };
}

export default { render };
