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
  const said = make("p", { role: "status", class: "said" });
  const commit = make("button", { type: "submit" }, "Commit my guess");
  const show = button("Show the answer", () => settle({ guess: null }, commit));
  form.append(make("p", { class: "buttons" }, commit, show), said);
  let strip = null;

  function cover() {
    strip?.remove();
    said.textContent = "";
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
    for (const output of hidden) {
      output.classList.remove("covered");
      output.querySelector(":scope > .lid")?.remove();
    }
    const [, verdict, why] = guess === null ? ["", "", `Measured here: ${held.found}.`]
      : held.judgements.find(([end]) =>
        end === null || (held.ends ? guess <= end : guess === end)) ?? ["", "", ""];
    said.append(make("b", {}, verdict), ` ${why}`);
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

document.querySelectorAll("form.predict").forEach(predict);
