/* The index of all items, what it can be sorted and filtered by, and its rows in the list. */

const block = (id) => document.getElementById(id).textContent;
const index = JSON.parse(block("index"));
const items = index.items;
items.forEach((item, n) => (item.n = n));

/* A new element; text goes in as text, whatever it looks like. */
function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

const missing = (value) => value === null || value === undefined;
const percent = (share) => (missing(share) ? "–" : `${Number((100 * share).toFixed(1))} %`);
const fixed = (value) => (missing(value) ? "–" : value.toFixed(2).replace("-", "−"));
const signed = (value) => (value > 0 ? "+" : "") + fixed(value);

/* The script's part of the page: read when it is looked at, and kept. */
const read = new Map();
function details(item) {
  if (!read.has(item.n)) read.set(item.n, JSON.parse(block(`item-${item.n}`)));
  return read.get(item.n);
}

const SORTS = [
  { name: "run order", value: (item) => item.n, show: (item) => percent(item.accuracy) },
  { name: "id", value: (item) => item.id, show: (item) => percent(item.accuracy) },
  { name: "accuracy", value: (item) => item.accuracy, show: (item) => percent(item.accuracy) },
  { name: "masked accuracy", value: (item) => item.masked, show: (item) => `masked ${percent(item.masked)}` },
  { name: "blind accuracy", value: (item) => item.blind, show: (item) => `blind ${percent(item.blind)}` },
  { name: "vision dependency", value: (item) => item.dependency, show: (item) => `vision ${signed(item.dependency)}` },
  { name: "mean perception KL", value: (item) => item.kl, show: (item) => `KL ${fixed(item.kl)} nats` },
];

const tagNames = [...new Set(items.flatMap((item) => item.tags.map(([name]) => name)))];
const tagValues = (name) => (item) => item.tags.filter(([other]) => other === name).map(([, value]) => value);

/* What an item must have one of; a filter with less than two values in the page has nothing to choose. */
const FILTERS = [
  { name: "Benchmark", of: (item) => [item.benchmark] },
  { name: "Model", of: (item) => [item.model] },
  { name: "Verdict", of: (item) => [item.outcome] },
  { name: "Error", of: (item) => (item.errors.length ? item.errors : ["none"]) },
  ...tagNames.map((name) => ({ name, of: tagValues(name) })),
]
  .map((filter) => ({ ...filter, counts: countValues(filter.of) }))
  .filter((filter) => filter.counts.size > 1 || [...filter.counts.values()].some((n) => n < items.length));

function countValues(of) {
  const counts = new Map();
  for (const item of items) for (const value of of(item)) counts.set(value, (counts.get(value) ?? 0) + 1);
  return new Map([...counts].sort(([a], [b]) => collator.compare(a, b)));
}

/* All that can be searched, in lower case; made at the first search, because it reads every item. */
let haystacks = null;
function haystack(item) {
  haystacks ??= items.map((each) => {
    const { question, answer, choices, responses } = details(each);
    const texts = responses.map((response) => response.text ?? response.tokens.join(""));
    const tags = each.tags.map(([name, value]) => `${name}=${value}`);
    return [each.id, question, answer, ...choices, ...tags, ...texts].join("\n").toLowerCase();
  });
  return haystacks[item.n];
}

const severalModels = new Set(items.map((item) => item.model)).size > 1;
const severalBenchmarks = new Set(items.map((item) => item.benchmark)).size > 1;
const MARKS = { correct: "✓", wrong: "✗", unscorable: "?" };
const SQUARES = 16; /* verdicts that fit beside an id */

function row(item, show) {
  const made = element("li", "");
  made.id = `row-${item.n}`;
  made.role = "option";
  made.ariaSelected = "false";
  made.dataset.n = item.n;
  const from = [item.id, severalModels ? item.model : "", severalBenchmarks ? item.benchmark : ""].filter(Boolean);
  made.append(
    element("span", "id", from.join(" · ")),
    squares(item.verdicts),
    element("span", "question", item.question),
    element("span", "figure", show(item)),
  );
  return made;
}

function squares(verdicts) {
  const right = verdicts.filter((verdict) => verdict === "correct").length;
  const count = `${right}/${verdicts.length}`;
  if (verdicts.length > SQUARES) return element("span", "squares", count);
  const made = element("span", "squares", ...verdicts.map((verdict) => element("i", verdict)));
  made.role = "img";
  made.ariaLabel = made.title = `${count} correct`;
  return made;
}
