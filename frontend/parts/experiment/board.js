// Draws the rows that it is given into the table that there is: its place, and what has the focus,
// stay while states move.
const kept = new WeakMap();

function inside(item, open) {
  const classes = item.status ? `status ${item.status}` : null;
  const word = item.href
    ? element("a", { href: item.href, target: "_self", class: classes }, item.text)
    : element("span", { class: classes }, item.text);
  if (item.href) {
    // Without a reload, unless the user wants a tab of its own.
    word.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      open({ page: item.page, id: item.id });
    };
  }
  const parts = [word];
  if (item.fraction !== undefined) {
    const share = Math.round(100 * item.fraction);
    parts.push(element("progress", { max: 1, value: item.fraction, "aria-label": `${share} %` }));
  }
  if (item.below) parts.push(element("div", { class: "faint" }, item.below));
  return parts;
}

function line(row, plain, open) {
  return element(
    "tr",
    {},
    ...row.map((item, column) =>
      column === 0
        ? element("th", { scope: "row", title: item.title }, ...inside(item, open))
        : element("td", { title: item.title, class: column < plain ? null : "number" }, ...inside(item, open)),
    ),
  );
}

export default function ({ data, parentElement, setTriggerValue }) {
  let here = kept.get(parentElement);
  if (!here) {
    const head = element("thead", {});
    const body = element("tbody", {});
    const table = element("table", {}, head, body);
    here = { head, body, table, scroll: element("div", { class: "scroll", tabindex: "0" }, table) };
    parentElement.append(here.scroll);
    kept.set(parentElement, here);
  }
  here.table.setAttribute("aria-label", data.label);
  const focused = here.scroll.querySelector("a:focus")?.getAttribute("href");
  const plain = data.head.length - data.numbers;
  here.head.replaceChildren(
    element(
      "tr",
      {},
      ...data.head.map((word, column) =>
        element("th", { scope: "col", class: column < plain ? null : "number" }, word),
      ),
    ),
  );
  const open = (place) => setTriggerValue("opened", place);
  here.body.replaceChildren(...data.rows.map((row) => line(row, plain, open)));
  if (focused) here.body.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}
