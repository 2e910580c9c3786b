// A text cut at its tokens, drawn as it runs. Tokens take the keyboard's focus one at a time: a
// text of thousands of tokens is one stop of the Tab key. Whatever comes from the text or the
// vocabulary becomes text nodes and attributes, never markup.
const BETWEEN = -1;
const FRAME = -2;

// Letters of these scripts join across tokens, which any space between two tokens would undo.
const JOINED = /[\p{Script=Arabic}\p{Script=Syriac}\p{Script=Mongolian}\p{Script=Nko}\p{Script=Adlam}\p{Script=Mandaic}]/u;

// {text, cells}: the element, and the cell of each token (none for the frame).
function runningText(pieces, role) {
  const text = element("div", { class: "text", dir: "auto", role: "group" });
  const cells = [];
  let end = ""; // of what stands before
  for (const [index, words] of pieces) {
    if (index === BETWEEN) {
      text.append(words);
    } else if (index === FRAME) {
      text.append(element("bdi", { class: "frame", "aria-hidden": "true" }, words));
    } else {
      const cell = element("span", { class: "cell", role, tabindex: "-1", "data-index": index });
      if (!words) cell.classList.add("rest");
      else if (JOINED.test(words)) cell.classList.add("joined");
      // A line's end that is a token is seen as one.
      cell.append(words ? words.replace(/\r?\n/g, "↵$&") : element("bdi", {}, "·"));
      if (end && !/\s$/.test(end) && !/^\s/.test(words)) cell.classList.add("inside");
      cells[index] = cell;
      text.append(cell);
    }
    end = words || end;
  }
  return { text, cells };
}

function cellOf(event) {
  return event.target instanceof Element ? event.target.closest(".cell") : null;
}

// Arrow keys, Home and End move the focus; returns the cell that they lead to.
function neighbour(event, order, current) {
  const at = order.indexOf(current);
  if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return null;
  const left = getComputedStyle(current.parentElement).direction === "rtl" ? 1 : -1;
  switch (event.key) {
    case "ArrowLeft":
      return order[at + left] || null;
    case "ArrowRight":
      return order[at - left] || null;
    case "ArrowUp":
      return onNextLine(order, at, -1);
    case "ArrowDown":
      return onNextLine(order, at, 1);
    case "Home":
      return order[0];
    case "End":
      return order[order.length - 1];
    default:
      return null;
  }
}

// The cell nearest to this one on the line above (-1) or below (1).
function onNextLine(order, at, step) {
  const place = (cell) => cell.getClientRects()[0] || cell.getBoundingClientRect();
  const here = place(order[at]);
  const middle = (here.left + here.right) / 2;
  let line = null;
  let best = null;
  for (let i = at + step; order[i]; i += step) {
    const rect = place(order[i]);
    if (Math.abs(rect.top - here.top) < here.height / 2) continue;
    if (line === null) line = rect.top;
    else if (Math.abs(rect.top - line) > here.height / 2) break;
    const away = Math.abs((rect.left + rect.right) / 2 - middle);
    if (best === null || away < best.away) best = { away, cell: order[i] };
  }
  return best && best.cell;
}

function moveFocus(from, to) {
  if (from) from.tabIndex = -1;
  to.tabIndex = 0;
}

// The token in quotes; what shows no characters by the vocabulary's spelling.
function quoted(cell, spelling) {
  const words = cell.classList.contains("rest") ? "" : cell.textContent.replace(/↵/g, "");
  return words.trim() ? `“${words}”` : spelling;
}
