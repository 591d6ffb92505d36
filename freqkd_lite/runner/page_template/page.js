// A page's own doings: guesses that uncover their answers, code folded or shown, one section a
// screen. Without it everything is there to be read. What the reader did stays in this browser.
"use strict";

const page = location.pathname.split("/").pop();
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const button = (text, call, attributes = {}) => {
  const node = make("button", { type: "button", ...attributes }, text);
  node.addEventListener("click", call);
  return node;
};
const store = {
  get(name, otherwise) {
    try { return JSON.parse(localStorage.getItem(`freqkd ${name}`)) ?? otherwise; }
    catch { return otherwise; }
  },
  set(name, value) {
    try { localStorage.setItem(`freqkd ${name}`, JSON.stringify(value)); }
    catch { /* a browser that keeps nothing */ }
  },
};

// ---- guess, then reveal ----------------------------------------------------------------------

// Guess and measurement side by side: on a line from end to end, or among the choices.
function drawn({ found, truth, ends, judgements }, guess) {
  const mark = (kind, text) => make("b", { class: kind }, text);
  if (ends) {
    const at = (value) => `left:${(100 * (value - ends[0])) / (ends[1] - ends[0])}%`;
    const line = make("div", { class: "line" }, make("i", { class: "measured", style: at(truth) }));
    if (guess !== null) line.append(make("i", { class: "yours", style: at(guess) }));
    return make("div", { class: "drawn", "aria-hidden": "true" },
      make("span", {}, String(ends[0])), line, make("span", {}, String(ends[1])),
      mark("measured", `measured: ${found}`), ...(guess === null ? [] : [mark("yours", `you: ${guess}`)]));
  }
  return make("ul", { class: "drawn", "aria-hidden": "true" }, ...judgements.map(([choice, verdict]) => {
    const item = make("li", {}, choice);
    if (verdict === "Right.") item.append(mark("measured", "measured"));
    if (choice === guess) item.append(mark("yours", "you"));
    return item;
  }));
}

function predict(form) {
  const same = `[data-question="${form.dataset.question}"]`;
  const judged = document.querySelector(`.judgement${same}`);
  if (!judged) return; // a run that did not come that far
  const held = JSON.parse(judged.dataset.held), name = `guess ${page} ${form.dataset.question}`;
  const outputs = [...document.querySelectorAll(".output")];
  let hidden = outputs.slice(outputs.indexOf(form.closest(".output")) + 1,
    outputs.indexOf(judged.closest(".output")) + 1);
  const first = hidden.findIndex((output) => output.querySelector("img, svg, details"));
  hidden = hidden.slice(Math.max(first, first < 0 ? hidden.length - 1 : 0));

  const inputs = [...form.querySelectorAll("input")];
  const feedback = make("p", { role: "status", class: "said" });
  const commit = make("button", { type: "submit" }, "Commit my guess");
  const show = button("Show the answer", () => settle({ guess: null }, commit));
  form.append(make("p", { class: "buttons" }, commit, show), feedback);
  const hero = document.querySelector(".head .veiled"); // a small copy of what is covered
  let strip = null;

  function cover() {
    strip?.remove();
    hero?.classList.add("veiled");
    feedback.textContent = "";
    commit.textContent = "Commit my guess";
    show.hidden = false;
    for (const input of inputs) Object.assign(input, { disabled: false, required: true });
    hidden.forEach((output, place) => {
      const lid = make("div", { class: "lid" }, make("span", {}, "Covered until you guess. "));
      if (!place) lid.append(
        button("To the question", () => inputs[0].focus()),
        button("Show", () => settle({ guess: null }, output)));
      output.classList.add("covered");
      output.append(lid);
    });
  }
  function reveal({ guess }) {
    hero?.classList.remove("veiled");
    for (const output of hidden) {
      output.classList.remove("covered");
      output.querySelector(":scope > .lid")?.remove();
    }
    const [, verdict, why] = guess === null ? ["", "", `Measured here: ${held.found}.`]
      : held.judgements.find(([end]) =>
        end === null || (held.ends ? guess <= end : guess === end)) ?? ["", "", ""];
    feedback.append(make("b", {}, verdict), ` ${why}`);
    commit.textContent = "Guess again";
    show.hidden = true;
    for (const input of inputs) {
      if (guess !== null && held.ends) input.value = guess;
      else if (!held.ends) input.checked = input.value === guess;
      input.disabled = true;
    }
    hidden[0].before(strip = drawn(held, guess));
  }
  function settle(answer, focus) {
    store.set(name, answer);
    reveal(answer);
    if (focus !== commit) focus.tabIndex = -1;
    focus.focus();
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (show.hidden) {
      store.set(name, null);
      cover();
      inputs[0].focus();
      return;
    }
    const given = new FormData(form).get(inputs[0].name);
    settle({ guess: held.ends ? Number(given) : given }, commit);
  });
  cover();
  const before = store.get(name);
  if (before) reveal(before);
}

// ---- code, folded to a line ------------------------------------------------------------------

function code(tools) {
  const folded = [...document.querySelectorAll("details.code")], name = `code ${page}`;
  const open = () => folded.map((cell, i) => cell.open ? i : -1).filter((i) => i >= 0);
  const all = () => open().length === folded.length;
  const everything = button("", () => {
    const opened = !all();
    store.set("code", opened); // of all pages
    for (const cell of folded) cell.open = opened;
    store.set(name, open());
  });
  const say = () => { everything.textContent = all() ? "Hide all code" : "Show all code"; };
  const before = store.get("code", false) ? folded.keys() : store.get(name, []);
  for (const i of before) if (folded[i]) folded[i].open = true;
  for (const cell of folded) cell.addEventListener("toggle", () => {
    if (!all()) store.set("code", false);
    store.set(name, open());
    say();
  });
  say();
  if (folded.length) tools.append(everything);
}

// ---- one section a screen --------------------------------------------------------------------

// The page's parts in groups, each begun by a heading of the first or second level.
function sections(main) {
  for (const text of main.querySelectorAll(":scope > .text")) {
    let part = text;
    for (const child of [...text.childNodes]) {
      if (child.nodeName === "H2" && part.childElementCount && part.firstElementChild !== child) {
        const next = make("section", { class: "text" });
        part.after(next);
        part = next;
      }
      if (part !== text) part.append(child);
    }
  }
  const found = [];
  for (const node of [...main.children]) {
    if (!found.length || node.querySelector(":scope > :is(h1, h2)")) {
      found.push(make("div", { class: "slide" }));
      node.before(found.at(-1));
    }
    found.at(-1).append(node);
  }
  return found;
}

function present(tools) {
  const slides = sections(document.querySelector("main")), root = document.documentElement;
  const count = make("span", { role: "status" });
  const bar = make("div", { class: "presenting", role: "group", "aria-label": "Present" },
    button("←", () => go(-1), { "aria-label": "Back" }), count,
    button("→", () => go(1), { "aria-label": "On" }), button("Leave (Esc)", () => leave()));
  let at = 0;
  const on = () => root.classList.contains("present");

  function put(place) {
    at = Math.max(0, Math.min(slides.length - 1, place));
    slides.forEach((slide, i) => slide.classList.toggle("on", i === at));
    count.textContent = `${at + 1} of ${slides.length}`;
    scrollTo(0, 0);
    for (const size of [1, 0.92, 0.85, 0.78, 0.7]) { // as large as fits, within reason
      root.style.setProperty("--fit", size);
      if (slides[at].scrollHeight <= innerHeight - bar.offsetHeight) break;
    }
    const heading = slides[at].querySelector("h1, h2") ?? slides[at];
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  // A section that is longer than the screen is first read to its end, and the last one leads on.
  function go(way) {
    const room = innerHeight - bar.offsetHeight, left = way > 0
      ? document.documentElement.scrollHeight - innerHeight - scrollY : scrollY;
    const next = at + way === slides.length && document.querySelector("a[rel=next]");
    const cut = [...slides[at].querySelectorAll("p, .output, figure")] // what the edge cuts, or hides
      .map((node) => node.getBoundingClientRect()).find((r) => r.bottom > room && r.top > 40);
    const step = Math.min(left, 0.85 * room, way > 0 && cut ? cut.top - 8 : Infinity);
    if (left > 24) scrollBy(0, way * step);
    else if (next) location.href = `${next.href}#present`;
    else put(at + way);
  }
  function enter() {
    const seen = slides.findLastIndex((slide) => slide.getBoundingClientRect().top < 40);
    root.classList.add("present");
    document.body.append(bar);
    put(seen);
  }
  function leave() {
    if (!on()) return;
    root.classList.remove("present");
    bar.remove();
    slides[at].scrollIntoView();
    (slides[at].querySelector("h1, h2") ?? slides[at]).focus({ preventScroll: true });
  }
  const key = make("input", { type: "checkbox" });
  key.checked = store.get("key P", true);
  key.addEventListener("change", () => store.set("key P", key.checked));
  tools.append(button("Present", enter), make("label", {}, key, " key P"));
  const keys = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1,
    ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
  addEventListener("keydown", (event) => {
    const pressed = event.key;
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (pressed === "Escape") leave();
    else if (event.target.closest("input, textarea, select, [role=slider]")) return;
    else if (pressed.toLowerCase() === "p" && key.checked) on() ? leave() : enter();
    else if (!on() || (pressed === " " && event.target.closest("button, summary, a"))) return;
    else if (pressed in keys) go(keys[pressed]);
    else if (pressed === "Home") put(0);
    else if (pressed === "End") put(slides.length - 1);
    else return;
    event.preventDefault();
  });
  addEventListener("beforeprint", leave);
  if (location.hash === "#present") enter();
}

// What is wider than its place can be scrolled by keyboard, too.
function reachable() {
  for (const node of document.querySelectorAll(".output, .output .html, .math.block"))
    if (node.scrollWidth > node.clientWidth + 1 && !node.querySelector(".freqkd"))
      Object.entries({ tabindex: 0, role: "group", "aria-label": "scrolls sideways" })
        .forEach((pair) => node.setAttribute(...pair));
    else if (node.getAttribute("aria-label")) node.removeAttribute("tabindex");
}

// A term's text goes away on Escape (until the pointer or focus moves on), and stays in the window.
function glossary() {
  const quiet = (on) => document.documentElement.classList.toggle("quiet", on);
  addEventListener("keydown", (event) => { if (event.key === "Escape") quiet(true); });
  for (const term of document.querySelectorAll(".term")) for (const kind of ["mouseenter", "focusin"])
    term.addEventListener(kind, () => {
      quiet(false);
      const note = term.lastElementChild;
      note.style.left = "0";
      const over = note.getBoundingClientRect().right - document.documentElement.clientWidth + 8;
      if (over > 0) note.style.left = `${-over}px`;
    });
}

const tools = document.querySelector("nav .middle");
document.querySelectorAll("form.predict").forEach(predict);
code(tools);
present(tools);
glossary();
addEventListener("load", reachable);
addEventListener("resize", reachable);
