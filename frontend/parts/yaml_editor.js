// A text area that sends what is typed after a pause. The server's text replaces it only when the
// server changed it (another revision), and never what has not been sent yet: that is sent with the
// revision that it began with, and the server puts both together.
const PAUSE = 400;
const kept = new WeakMap();

function build(parent, label) {
  const root = element("div", { class: "editor" });
  const gutter = element("div", { class: "gutter", "aria-hidden": "true" });
  const area = element("textarea", {
    "aria-label": `${label}'s YAML. Tab indents; Escape and then Tab leaves the editor.`,
    spellcheck: "false",
    autocomplete: "off",
    autocapitalize: "off",
    wrap: "off",
  });
  root.append(gutter, area);
  parent.append(root);
  return { root, gutter, area, draft: null, revision: null, mixed: null, timer: null, free: false };
}

// Through the browser's own editing, so that undo knows of it.
function insert(area, text) {
  if (!document.execCommand(text ? "insertText" : "delete", false, text)) {
    area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input"));
  }
}

function onTab(here, event) {
  const { area } = here;
  const start = area.value.lastIndexOf("\n", area.selectionStart - 1) + 1;
  if (area.selectionStart === area.selectionEnd && !event.shiftKey) return insert(area, "  ");
  const lines = area.value.slice(start, area.selectionEnd).split("\n");
  const moved = lines.map((line) => (event.shiftKey ? line.replace(/^ {1,2}/, "") : `  ${line}`)).join("\n");
  const caret = area.selectionStart === area.selectionEnd;
  area.setSelectionRange(start, area.selectionEnd);
  insert(area, moved);
  if (!caret) area.setSelectionRange(start, start + moved.length);
}

function onEnter(here) {
  const { area } = here;
  const start = area.value.lastIndexOf("\n", area.selectionStart - 1) + 1;
  const line = area.value.slice(start, area.selectionStart);
  const indent = line.match(/^ */)[0] + (/:\s*$/.test(line) ? "  " : "");
  document.execCommand("insertLineBreak");
  if (indent) insert(area, indent);
}

function number(here) {
  const count = here.area.value.split("\n").length;
  const wrong = new Map(here.marks.map((mark) => [mark.line, mark.sentence]));
  here.gutter.replaceChildren(
    ...Array.from({ length: count }, (_, index) => {
      const line = element("div", wrong.has(index + 1) ? { class: "wrong", title: wrong.get(index + 1) } : {});
      line.textContent = index + 1;
      return line;
    }),
  );
  here.area.rows = Math.max(10, count + 1);
  here.area.setAttribute("aria-invalid", String(wrong.size > 0));
}

export default function ({ data, parentElement, setStateValue }) {
  let here = kept.get(parentElement);
  if (!here) {
    here = build(parentElement, data.label);
    kept.set(parentElement, here);
  }
  const { area } = here;
  here.marks = data.marks;

  const send = () => {
    clearTimeout(here.timer);
    here.timer = null;
    setStateValue("typed", { text: area.value, draft: here.draft, revision: here.revision });
  };
  const known = here.draft === data.draft && here.revision === data.revision;
  const mixed = !known && here.draft === data.draft && here.timer !== null;
  if (mixed) {
    here.mixed = data.revision;
    send();
  } else if (!known && (here.mixed !== data.revision || here.draft !== data.draft || area.value === data.text)) {
    here.mixed = null;
    clearTimeout(here.timer);
    here.timer = null;
    if (area.value !== data.text) {
      const place = area.selectionStart;
      area.value = data.text;
      area.setSelectionRange(place, place);
    }
    here.draft = data.draft;
    here.revision = data.revision;
  }

  area.oninput = () => {
    clearTimeout(here.timer);
    here.timer = setTimeout(send, PAUSE);
    number(here);
  };
  area.onblur = () => {
    here.free = false;
    if (here.timer !== null) send();
  };
  area.onkeydown = (event) => {
    if (event.key === "Tab" && !here.free && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      onTab(here, event);
    } else if (event.key === "Enter" && !event.isComposing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      onEnter(here);
    } else if (event.key === "Escape") {
      here.free = true;
      return;
    }
    if (event.key !== "Shift") here.free = false;
  };
  area.onscroll = () => (here.gutter.scrollTop = area.scrollTop);
  number(here);
}
