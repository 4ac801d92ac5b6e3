/* The chosen item: its pictures, its question, and its responses token by token. */

const SCALE_TICKS = 5;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/* Place on the colour scale in [0, 1]. Most tokens are near zero, so the scale is that of the square root. */
const heat = (kl) => Math.sqrt(Math.min(Math.max(kl, 0) / index.top, 1));

function itemView(item, choose) {
  const detail = details(item);
  const title = element("h3", "", item.id);
  title.id = "item-title";
  const chips = [
    chip("benchmark", item.benchmark),
    chip("model", item.model),
    ...item.tags.map(([name, value]) => chip(name, value)),
  ];
  if (item.outcome === "unscorable") chips.push(element("li", "chip warning", "unscorable: counted nowhere"));
  return [
    element("header", "", title, element("ul", "chips", ...chips), ...others(item, choose)),
    element("div", "asked", pictures(item, detail), task(detail), measures(item)),
    responses(detail),
    ...detail.unseen.map(([view, all]) => unseen(view, all, detail.images)),
  ];
}

function chip(name, value) {
  return element("li", "chip", element("span", "name", name), ` ${value}`);
}

/* The same item as other models answered it. */
function others(item, choose) {
  const same = items.filter((other) => other.id === item.id && other.benchmark === item.benchmark);
  if (same.length < 2) return [];
  const buttons = same.map((other) => {
    const button = element("button", "", `${other.model}: ${percent(other.accuracy)}`);
    button.type = "button";
    button.ariaPressed = String(other === item);
    button.addEventListener("click", () => choose(other));
    return button;
  });
  return [element("div", "others", element("span", "name", "The same item by"), ...buttons)];
}

function pictures(item, { images, corrupted }) {
  const made = element("div", "pictures");
  images.forEach((number, i) => {
    const of = images.length > 1 ? ` ${i + 1} of ${images.length}` : "";
    made.append(picture(number, `image${of}`, `Image${of} of item ${item.id}`));
    if (i < corrupted.length) {
      made.append(picture(corrupted[i], `corrupted${of}`, `The same image${of} corrupted`));
    }
  });
  if (!images.length) made.append(element("p", "note", "No image."));
  return made;
}

function picture(number, caption, alt) {
  const image = element("img", "");
  image.alt = alt;
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 256));
  image.src = block(`picture-${number}`);
  return element("figure", "", zoomable(alt, image), element("figcaption", "", caption));
}

/* A picture that a click or a key makes as large as there is room for, and small again. */
function zoomable(name, content) {
  const made = element("button", "zoom", content);
  made.type = "button";
  made.ariaLabel = `Enlarge: ${name}`;
  made.ariaPressed = "false";
  made.addEventListener("click", () => {
    made.ariaPressed = String(made.ariaPressed === "false");
  });
  return made;
}

function task({ question, choices, answer }) {
  const made = element("div", "task", text("p", "question", question));
  if (choices.length) {
    made.append(
      element("ul", "choices", ...choices.map((choice, i) => {
        const line = text("li", choice === answer || LETTERS[i] === answer ? "gold" : "", choice);
        line.prepend(element("span", "name", `(${LETTERS[i] ?? i + 1}) `));
        return line;
      })),
    );
  }
  made.append(element("p", "", element("span", "name", "Answer "), text("strong", "", answer)));
  return made;
}

/* Text of any script: its direction is its own and moves nothing around it. */
function text(tag, className, content) {
  const made = element(tag, className, content);
  made.dir = "auto";
  return made;
}

function measures(item) {
  const shares = [["with image", item.accuracy], ["masked", item.masked], ["blind", item.blind]];
  const rows = shares.filter(([, share]) => !missing(share)).map(([name, share]) => {
    const meter = element("span", "meter", element("i", ""));
    meter.style.setProperty("--share", share);
    return element("div", "", element("dt", "", name), element("dd", "", meter, percent(share)));
  });
  const nats = (value) => `${fixed(value)} nats per token`;
  const plain = [["vision dependency", item.dependency, signed], ["perception KL", item.kl, nats]];
  for (const [name, value, show] of plain) {
    if (!missing(value)) rows.push(element("div", "", element("dt", "", name), element("dd", "", show(value))));
  }
  return element("dl", "measures", ...rows);
}

function responses({ responses: all, images }) {
  const made = element("section", "responses", element("h4", "", `${all.length} responses`));
  made.ariaLabel = "Responses";
  const top = lookingTop(all);
  const legends = element("div", "legends");
  if (all.some((response) => response.kl.length)) legends.append(legend());
  if (all.some((response) => response.drops)) legends.append(lookingLegend(top));
  made.append(legends, element("ol", "", ...all.map((given) => response(given, images, top))));
  return made;
}

/* The responses to another view, folded away. */
function unseen(view, all, images) {
  const right = all.filter(({ verdict }) => verdict === "correct").length;
  const title = element("summary", "", element("h4", "", `${all.length} responses, ${view}`), ` ${right} correct`);
  const list = all.map((given) => response(given, images, lookingTop(all)));
  return element("details", "responses", title, element("ol", "", ...list));
}

function legend() {
  const bar = element("span", "bar");
  const ticks = element("span", "ticks");
  for (let i = 0; i < SCALE_TICKS; i++) {
    const place = i / (SCALE_TICKS - 1);
    const value = Number((place ** 2 * index.top).toPrecision(2));
    const tick = element("span", "", i === SCALE_TICKS - 1 ? `≥ ${value}` : `${value}`);
    tick.style.setProperty("--place", place);
    ticks.append(tick);
  }
  return element("div", "legend", "perception KL of a token, nats", element("span", "scale", bar, ticks));
}

function response(given, images, top) {
  const head = element(
    "div",
    "response-head",
    element("span", `verdict ${given.verdict}`, `${MARKS[given.verdict]} ${given.verdict}`),
  );
  if (given.error !== null) head.append(element("span", "error", `${given.error} error`));
  const answer = given.answer === null ? "nothing" : text("b", "", given.answer);
  head.append(
    element("span", "read", element("span", "name", "answer "), answer),
    text("span", "reason", given.reason),
  );
  if (!missing(given.mean)) head.append(element("span", "mean", `${fixed(given.mean)} nats per token`));
  const body = given.tokens.length
    ? tokens(given)
    : text("p", "plain", given.text);
  const made = element("li", `response ${given.verdict}`, head, body);
  if (given.drops) made.prepend(looking(given.drops, images, top, body));
  if (given.left_out) made.append(element("p", "note", `Cut off here: ${given.left_out} in results.json.`));
  return made;
}

/* The tokens of a word stay together. The space before it lies outside its colour; a line's end is shown and kept. */
function tokens(given) {
  const made = element("p", "tokens");
  let word = null;
  given.tokens.forEach((token, i) => {
    const space = token.trim() ? token.match(/^ */)[0] : "";
    if (space || word === null) {
      word = element("span", "word");
      made.append(space, word);
    }
    word.append(chipOf(token.slice(space.length).replaceAll("\n", "↵"), given.kl[i]));
    if (token.includes("\n")) made.append(element("br", ""));
    if (/\s$/.test(token)) word = null;
  });
  return made;
}

function chipOf(token, kl) {
  const made = element("span", "token", token);
  if (kl === null) {
    made.classList.add("unknown");
    made.title = "perception KL unknown";
  } else if (kl !== undefined) {
    made.style.setProperty("--heat", heat(kl).toFixed(3));
    made.title = `${kl} nats`;
    made.dataset.kl = kl >= 0.005 ? fixed(kl) : "";
  }
  return made;
}
