// What a model says at one token: its numbers, and the likeliest tokens with the token visible and
// with it masked.
function detail(pane, index, hidden) {
  const data = pane.data;
  const spelling = data.words[data.token[index]];
  const cell = pane.cells[index];
  const before = data.before ? data.before[index] : null;
  const chance = Math.exp(-data.surprisal[index]);
  const facts = [`token ${spelling}`, `position ${data.position[index]}`];
  if (data.unknown[index]) facts.push("not in the vocabulary");
  if (hidden) facts.push("masked");
  const head = element(
    "div",
    { class: "what" },
    element("bdi", { class: "name" }, quoted(cell, spelling)),
    element("span", { class: "faint" }, element("bdi", {}, facts.join(" · "))),
  );
  const changed = before !== null && Math.abs(before - data.entropy[index]) >= 0.005;
  const now = changed ? `${nats(before)} → ${nats(data.entropy[index])}` : nats(data.entropy[index]);
  const numbers = element(
    "dl",
    {},
    fact(`entropy${hidden ? ", masked" : ""}${changed ? ", before → now" : ""}`, now),
    hidden ? null : fact("masked entropy", nats(data.entropy_masked[index])),
    fact("surprisal", nats(data.surprisal[index])),
  );
  const lists = element("div", { class: "lists" });
  if (!hidden) lists.append(predictions("Predicted here, token visible", data, index, "top", null));
  lists.append(predictions("Predicted here, token masked", data, index, "top_masked", chance));
  return [head, numbers, lists];
}

function nats(value) {
  return value === null ? "–" : value.toFixed(2).replace("-", "−");
}

function fact(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value, element("span", { class: "unit" }, " nats")));
}

// chance: of the token that stands here, which is listed even where others are likelier; or null.
function predictions(title, data, index, field, chance) {
  const flat = data[field][index];
  const list = element("ol", {});
  let listed = false;
  for (let i = 0; i < flat.length; i += 2) {
    const here = flat[i] === data.token[index];
    listed = listed || here;
    list.append(guess(data.words[flat[i]], flat[i + 1], here));
  }
  if (!listed && chance !== null) {
    list.append(element("li", { class: "more", "aria-hidden": "true" }, "⋮"));
    list.append(guess(data.words[data.token[index]], chance, true));
  }
  return element("section", {}, element("h4", {}, title), list);
}

function guess(word, probability, here) {
  const said = here ? element("span", { class: "hint" }, " stands here") : null;
  const line = element(
    "li",
    { class: here ? "here" : null },
    element("span", { class: "word" }, element("bdi", {}, word), said),
    element("span", { class: "share" }, share(probability)),
  );
  line.style.setProperty("--share", `${(100 * probability).toFixed(1)}%`);
  return line;
}

function share(probability) {
  if (probability >= 0.0005 || probability === 0) return probability.toFixed(3);
  return probability >= 1e-6 ? Number(probability.toPrecision(1)).toFixed(6).replace(/0+$/, "") : "< 0.000001";
}
