// Draws the rows it is given. What is selected is kept here, by id: rows move while runs come in.
const kept = new WeakMap();

function state(row) {
  const cell = element("td", {});
  const word = element("span", { class: `status ${row.status}`, title: row.why }, row.status);
  cell.append(word);
  if (row.stage) cell.append(element("span", { class: "faint" }, ` ${row.stage}`));
  if (row.fraction !== null) {
    const share = Math.round(100 * row.fraction);
    cell.append(element("progress", { max: 1, value: row.fraction, "aria-label": `${row.stage}: ${share} %` }));
  }
  if (row.left) cell.append(element("div", { class: "faint" }, row.left));
  return cell;
}

function line(row, here, toggle, open) {
  const box = element("input", { type: "checkbox", "aria-label": `select ${row.name} ${row.id}` });
  box.checked = here.selected.has(row.id);
  box.onchange = () => toggle([row.id], box.checked);
  const link = element("a", { href: row.href, target: "_self", title: row.id }, row.name);
  // Without a reload, unless the user wants a tab of its own.
  link.onclick = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    open(row.id);
  };
  const tags = row.tags.map((tag) => element("span", { class: "tag" }, tag));
  const scores = row.scores.map((score) => element("span", { class: "score" }, score));
  const warned = row.warnings ? `${row.warnings} warning${row.warnings > 1 ? "s" : ""}` : null;
  return element(
    "tr",
    { "data-run": row.id, "data-status": row.status, "aria-selected": String(box.checked) },
    element("td", { class: "tick" }, box),
    element("td", {}, link, element("div", { class: "faint" }, `seed ${row.seed}`)),
    state(row),
    element("td", {}, row.strategy),
    element("td", {}, ...scores, warned && element("div", { class: "faint" }, warned)),
    element("td", {}, ...tags),
    element("td", { class: "number faint" }, row.created),
  );
}

const HEAD = ["Run", "Status", "Strategy", "Scores (x 100)", "Tags"];

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  let here = kept.get(parentElement);
  if (!here) {
    here = { selected: new Set(), root: element("div", { class: "root" }) };
    parentElement.append(here.root);
    kept.set(parentElement, here);
  }
  const shown = new Set(data.rows.map((row) => row.id));
  here.selected = new Set([...here.selected].filter((id) => shown.has(id)));
  const focused = here.root.querySelector(":focus")?.closest("tr")?.dataset.run;

  const toggle = (ids, on) => {
    for (const id of ids) on ? here.selected.add(id) : here.selected.delete(id);
    setStateValue("selected", [...here.selected]);
    draw();
  };

  function draw() {
    const all = element("input", { type: "checkbox", "aria-label": "select all" });
    all.checked = shown.size > 0 && here.selected.size === shown.size;
    all.onchange = () => toggle([...shown], all.checked);
    const head = element(
      "tr",
      {},
      element("th", { class: "tick", scope: "col" }, all),
      ...HEAD.map((word) => element("th", { scope: "col" }, word)),
      element("th", { scope: "col", style: "text-align: right" }, "Created"),
    );
    const body = data.rows.map((row) => line(row, here, toggle, (id) => setTriggerValue("opened", id)));
    here.root.replaceChildren(
      element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))),
    );
    if (focused) here.root.querySelector(`tr[data-run="${CSS.escape(focused)}"] input`)?.focus();
  }
  draw();
}
