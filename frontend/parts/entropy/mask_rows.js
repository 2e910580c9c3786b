// One row a preset, one column a model: the text with the tokens that would be masked marked, and
// where chance decides, in the colour of each token's probability.
const kept = new WeakMap();
const AT_ONCE = 4000; // tokens

export default function ({ data, parentElement }) {
  let here = kept.get(parentElement);
  if (!here) {
    here = { root: element("div", { class: "root" }), tip: element("div", { class: "tip", "aria-hidden": "true" }), seen: null, drawn: "" };
    parentElement.append(here.root);
    kept.set(parentElement, here);
  }
  const wanted = JSON.stringify(data);
  if (wanted === here.drawn) return; // another part of the page has changed
  here.drawn = wanted;
  here.tip.hidden = true;
  if (here.seen) here.seen.disconnect();
  // Rows of a long text are drawn when they come into view.
  const later = new Map();
  const many = data.rows.length * data.models.reduce((sum, model) => sum + model.token.length, 0) > AT_ONCE;
  here.seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      here.seen.unobserve(entry.target);
      later.get(entry.target)();
    }
  }, { rootMargin: "400px" });
  const parts = data.top ? [legend(data)] : [];
  for (const row of data.rows) parts.push(rowOf(here, data, row, many ? later : null));
  here.root.replaceChildren(...parts, here.tip);
  for (const place of later.keys()) here.seen.observe(place);
}

function rowOf(here, data, row, later) {
  const grid = element("div", { class: "grid" });
  row.cells.forEach((cell, number) => {
    const model = data.models[number];
    const column = element("div", { class: "column" });
    const facts = [data.models.length > 1 ? model.label : null, cell.facts].filter(Boolean).join(" · ");
    if (facts) column.append(element("div", { class: "faint" }, facts));
    if (cell.error) {
      column.append(element("p", { class: "why" }, `${cell.error}.`));
    } else if (!later) {
      column.append(masks(here, data, row, cell, model));
    } else {
      const place = element("div", { class: "place" });
      later.set(place, () => place.replaceWith(masks(here, data, row, cell, model)));
      column.append(place);
    }
    grid.append(column);
  });
  return element(
    "section",
    { "data-preset": row.preset },
    element("h3", {}, row.preset),
    element("p", { class: "faint" }, row.description),
    grid,
  );
}

function masks(here, data, row, cell, model) {
  const chosen = new Set(cell.positions);
  const { text, cells } = runningText(model.pieces, "img");
  text.setAttribute("aria-label", `${row.preset}, ${model.label}: the tokens of the text; the arrow keys move between them`);
  cells.forEach((made, i) => {
    const masked = chosen.has(i);
    const share = cell.probabilities[i];
    const words = quoted(made, `token ${model.token[i]}`);
    const chance = cell.sampled && !model.special[i] ? `, probability ${share.toFixed(3)}` : "";
    const state = model.special[i] ? "never masked" : masked ? "masked" : "not masked";
    made.setAttribute("aria-label", `${words}: ${state}${chance}`);
    made.setAttribute("data-position", i);
    made.setAttribute("data-probability", share);
    if (masked) made.classList.add("masked");
    if (model.special[i]) return;
    const level = cell.sampled ? share / data.top : masked ? 1 : null;
    if (level === null) return;
    [made.style.background, made.style.color] = data.heat[Math.round(level * (data.heat.length - 1))];
  });
  const order = cells.filter(Boolean);
  if (order.length) order[0].tabIndex = 0;
  text.addEventListener("pointerover", (event) => tell(here, cellOf(event)));
  text.addEventListener("pointerleave", () => tell(here, null));
  text.addEventListener("focusout", () => tell(here, null));
  text.addEventListener("scroll", () => tell(here, null));
  text.addEventListener("focusin", (event) => {
    const made = cellOf(event);
    if (!made) return;
    for (const other of order) if (other.tabIndex === 0 && other !== made) other.tabIndex = -1;
    made.tabIndex = 0;
    tell(here, made);
  });
  text.addEventListener("keydown", (event) => {
    const made = cellOf(event);
    const next = made && neighbour(event, order, made);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return text;
}

function tell(here, cell) {
  here.tip.hidden = !cell;
  if (!cell) return;
  here.tip.textContent = cell.getAttribute("aria-label");
  const outer = here.root.getBoundingClientRect();
  const rect = cell.getClientRects()[0] || cell.getBoundingClientRect();
  here.tip.style.top = `${rect.bottom - outer.top + 6}px`;
  const most = Math.max(0, outer.width - here.tip.offsetWidth);
  here.tip.style.left = `${Math.min(most, Math.max(0, rect.left - outer.left))}px`;
}

function legend(data) {
  const bar = element("div", { class: "scale", "aria-hidden": "true" });
  bar.style.background = data.gradient;
  const ticks = element("div", { class: "ticks" }, element("span", {}, "0"));
  const half = element("span", {}, (data.top / 2).toFixed(2));
  half.style.left = "50%";
  const end = element("span", { class: "end" }, data.top.toFixed(2));
  end.style.left = "100%";
  ticks.append(half, end);
  return element("div", { class: "legend" }, element("div", { class: "faint" }, "probability that a run masks the token"), bar, ticks);
}
