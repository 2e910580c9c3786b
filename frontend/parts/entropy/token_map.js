// The heat map: a toolbar, a legend, and one pane a model. What is hidden is kept here by spans of
// characters and sent to the server, which answers with new numbers for the same cells.
const kept = new WeakMap();
const PATIENCE = 250; // ms in which further clicks join the first

export default function ({ data, parentElement, setStateValue }) {
  let here = kept.get(parentElement);
  if (!here) {
    here = start(parentElement);
    kept.set(parentElement, here);
  }
  here.send = () => setStateValue("masked", { text: here.data.text, spans: here.spans });
  if (here.data === null || here.data.text !== data.text) {
    clearTimeout(here.timer);
    here.spans = data.spans;
  }
  here.data = data;
  draw(here);
}

function start(parent) {
  const touch = matchMedia("(hover: none)").matches;
  const here = {
    data: null, spans: [], timer: null, panes: new Map(), active: null, focus: null,
    quantity: "entropy", scale: "whole", click: touch ? "show" : "mask",
  };
  const redraw = () => draw(here);
  here.bar = element("div", { class: "toolbar" });
  here.meaning = element("p", { class: "meaning" });
  here.legend = element("div", { class: "legend" });
  here.status = element("span", { class: "faint", role: "status" });
  here.clear = element("button", { type: "button", class: "plain" }, "Unmask all");
  here.clear.onclick = () => select(here, []);
  here.quantities = choice("Colour", "quantity", here, redraw);
  here.scales = choice("Scale", "scale", here, redraw);
  here.clicks = choice("A click", "click", here, redraw);
  here.bar.append(here.quantities.root, here.scales.root, here.clicks.root, here.clear, here.status);
  here.grid = element("div", { class: "grid" });
  parent.append(element("div", { class: "root" }, here.bar, here.meaning, here.legend, here.grid));
  return here;
}

// One of several: radio buttons that look like one control.
function choice(title, field, here, redraw) {
  const set = element("div", { class: "segments" });
  const root = element("fieldset", {}, element("legend", {}, title), set);
  let shown = "";
  return {
    root,
    show(options) {
      const wanted = JSON.stringify(options);
      if (wanted !== shown) {
        shown = wanted;
        set.replaceChildren(
          ...options.map(([value, label]) => {
            const input = element("input", { type: "radio", name: field, value });
            input.onchange = () => {
              here[field] = value;
              redraw();
            };
            return element("label", {}, input, element("span", {}, label));
          }),
        );
      }
      for (const input of set.querySelectorAll("input")) input.checked = input.value === here[field];
    },
  };
}

function draw(here) {
  const { data } = here;
  const changes = data.panes.some((pane) => pane.before);
  if (!changes && here.quantity === "change") here.quantity = "entropy";
  const offered = data.quantities.filter((one) => one.name !== "change" || changes);
  here.quantities.show(offered.map((one) => [one.name, one.label]));
  here.scales.show([["whole", "0 to ln V"], ["text", "this text’s maximum"]]);
  here.scales.root.hidden = here.quantity === "change";
  here.clicks.show([["mask", "masks the token"], ["show", "shows the token"]]);
  here.clear.hidden = !here.spans.length;
  here.status.textContent =
    JSON.stringify(here.spans) === JSON.stringify(data.spans) ? "" : "Asking the models again …";
  const { meaning } = offered.find((one) => one.name === here.quantity);
  here.meaning.textContent = meaning + (here.spans.length ? " Outlined tokens are masked." : "");

  const shown = data.panes.map((pane) => {
    const known = here.panes.get(pane.id);
    const fits = known && known.of === data.text;
    const made = fits ? known : build(here, pane, data.text);
    made.data = pane;
    return made;
  });
  const gone = shown.length !== here.panes.size || shown.some((pane) => here.panes.get(pane.data.id) !== pane);
  here.panes = new Map(shown.map((pane) => [pane.data.id, pane]));
  if (gone || here.grid.children.length !== shown.length) {
    here.grid.replaceChildren(...shown.map((pane) => pane.root));
    here.active = here.focus = null;
  }
  const top = highest(here, shown);
  legend(here, top, shown);
  for (const pane of shown) paint(here, pane, top);
  if (!here.focus && shown.length) {
    here.focus = { pane: shown[0], index: striking(shown[0]) };
    for (const pane of shown) moveFocus(null, pane.cells[striking(pane)] || pane.root);
  }
  mark(here, here.active || here.focus);
}

// The token that a look falls on first: where the model is least sure.
function striking(pane) {
  const { data } = pane;
  let best = -1;
  data.entropy_masked.forEach((value, i) => {
    if (!data.frame[i] && !data.unknown[i] && (best < 0 || value > data.entropy_masked[best])) best = i;
  });
  return best < 0 ? data.frame.indexOf(0) : best;
}

function build(here, data, name) {
  const { text, cells } = runningText(data.pieces, "button");
  const pane = {
    data, of: name, cells, order: cells.filter(Boolean),
    mean: element("span", { class: "faint" }),
    note: element("div", { class: "notes faint" }),
    detail: element("div", { class: "detail" }),
  };
  text.setAttribute("aria-label", `${data.label}: the tokens of the text; the arrow keys move between them`);
  pane.root = element(
    "section",
    { class: "pane", "data-model": data.id },
    element("div", { class: "head" }, element("h3", { class: "name" }, data.label), pane.mean),
    text, pane.note, pane.detail,
  );
  cells.forEach((cell, i) => cell.setAttribute("data-position", data.position[i]));
  const point = (event) => {
    const cell = cellOf(event);
    if (cell) mark(here, { pane, index: Number(cell.dataset.index) });
  };
  text.addEventListener("pointerover", point);
  text.addEventListener("pointerleave", () => mark(here, here.focus));
  text.addEventListener("focusin", (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    for (const other of pane.order) if (other.tabIndex === 0 && other !== cell) other.tabIndex = -1;
    cell.tabIndex = 0;
    here.focus = { pane, index: Number(cell.dataset.index) };
    mark(here, here.focus);
  });
  text.addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (cell) press(here, pane, cell);
  });
  text.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      press(here, pane, cell);
      return;
    }
    const next = neighbour(event, pane.order, cell);
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });
  return pane;
}

function press(here, pane, cell) {
  cell.focus({ preventScroll: true });
  if (here.click === "mask") toggle(here, pane, Number(cell.dataset.index));
}

function isHidden(here, pane, index) {
  const { start, end, frame } = pane.data;
  return !frame[index] && here.spans.some(([a, b]) => a < end[index] && b > start[index]);
}

function toggle(here, pane, index) {
  const start = pane.data.start[index];
  const end = pane.data.end[index];
  if (start === end) return; // stands for no character
  const left = here.spans.flatMap(([a, b]) => [[a, Math.min(b, start)], [Math.max(a, end), b]]);
  const spans = left.filter(([a, b]) => a < b);
  if (!isHidden(here, pane, index)) spans.push([start, end]);
  select(here, merged(spans));
}

function merged(spans) {
  const joined = [];
  for (const [a, b] of spans.sort((one, other) => one[0] - other[0])) {
    const last = joined[joined.length - 1];
    if (last && a <= last[1]) last[1] = Math.max(last[1], b);
    else joined.push([a, b]);
  }
  return joined;
}

function select(here, spans) {
  here.spans = spans;
  clearTimeout(here.timer);
  here.timer = setTimeout(here.send, PATIENCE);
  draw(here);
}

function valueOf(here, pane, index) {
  const { data } = pane;
  if (here.quantity !== "change") return data[here.quantity][index];
  return data.before ? data.entropy[index] - data.before[index] : 0;
}

// The end of the colour scale, the same for all models: equal colours are equal numbers.
function highest(here, panes) {
  if (here.quantity !== "change" && here.scale === "whole") {
    return Math.max(0, ...panes.map((pane) => pane.data.max));
  }
  let top = 0.01;
  for (const pane of panes) {
    pane.cells.forEach((cell, i) => {
      // What masking does to a masked token itself would outshine all else.
      if (here.quantity === "change" && isHidden(here, pane, i)) return;
      top = Math.max(top, Math.abs(valueOf(here, pane, i)));
    });
  }
  return top;
}

function paint(here, pane, top) {
  const { data } = pane;
  const change = here.quantity === "change";
  const shades = change ? here.data.change : here.data.heat;
  pane.cells.forEach((cell, i) => {
    const part = Math.min(1, Math.max(-1, valueOf(here, pane, i) / top));
    const level = Math.round((change ? (part + 1) / 2 : part) * (shades.length - 1));
    [cell.style.background, cell.style.color] = shades[level];
    const hidden = isHidden(here, pane, i);
    cell.setAttribute("aria-pressed", String(hidden));
    cell.classList.toggle("masked", hidden);
    const state = hidden ? "masked" : "not masked";
    const what = quoted(cell, `token ${data.words[data.token[i]]}`);
    cell.setAttribute("aria-label", `${what}, entropy ${nats(data.entropy[i])} nats, ${state}`);
  });
  const counted = [...pane.cells.keys()].filter((i) => pane.cells[i] && !(change && isHidden(here, pane, i)));
  const mean = counted.reduce((sum, i) => sum + valueOf(here, pane, i), 0) / Math.max(1, counted.length);
  pane.mean.textContent = `mean ${change && mean > 0 ? "+" : ""}${nats(mean)} nats`;
  pane.note.replaceChildren(...data.warnings.map((words) => element("p", {}, `Note: ${words}.`)));
}

// Shows the details of a token, and of what stands at its place for the other models.
function mark(here, at) {
  here.active = at;
  if (!at) return;
  const { start, end } = at.pane.data;
  for (const pane of here.panes.values()) {
    for (const cell of pane.marked || []) cell.classList.remove("current", "twin");
    const found = pane === at.pane ? [at.index] : overlapping(pane, start[at.index], end[at.index]);
    pane.marked = found.map((i) => pane.cells[i]);
    for (const cell of pane.marked) cell.classList.add(pane === at.pane ? "current" : "twin");
    pane.detail.setAttribute("aria-live", pane === at.pane ? "polite" : "off");
    if (found.length) pane.detail.replaceChildren(...detail(pane, found[0], isHidden(here, pane, found[0])));
    else pane.detail.replaceChildren(element("p", { class: "faint" }, "This model has no token there."));
  }
}

function overlapping(pane, start, end) {
  const { data } = pane;
  const found = [];
  for (let i = 0; i < data.start.length; i += 1) {
    if (!data.frame[i] && data.start[i] < end && data.end[i] > start) found.push(i);
  }
  return found;
}

function legend(here, top, panes) {
  const change = here.quantity === "change";
  const bar = element("div", { class: "scale", "aria-hidden": "true" });
  bar.style.background = here.data.gradients[change ? "change" : "heat"];
  const ticks = element("div", { class: "ticks" });
  const place = (value) => (change ? (value / top + 1) / 2 : value / top);
  const sign = (value) => (change && value > 0 ? "+" : "") + value.toFixed(top < 2 ? 2 : 1).replace("-", "−");
  const last = element("span", { class: "end" }, `${sign(top)} nats`);
  last.style.left = "100%";
  const values = change ? [-top, 0] : steps(top);
  for (const value of values) {
    const tick = element("span", {}, value === 0 && !change ? "0" : sign(value));
    tick.style.left = `${100 * place(value)}%`;
    ticks.append(tick);
  }
  ticks.append(last);
  const ends = change
    ? ["surer than before", "less sure"]
    : here.quantity === "surprisal"
      ? ["expected", "unexpected"]
      : ["sure", here.scale === "whole" ? `ln V: all ${types(panes, top)} tokens equally likely` : "unsure"];
  here.legend.replaceChildren(
    bar, ticks,
    element("div", { class: "ends faint" }, element("span", {}, ends[0]), element("span", {}, ends[1])),
  );
}

function types(panes, top) {
  return Math.round(Math.exp(top)).toLocaleString("en");
}

function steps(top) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5].find((one) => top / one <= 6) || 10;
  const found = [];
  for (let value = 0; value < top * 0.85; value += step) found.push(value);
  return found;
}
