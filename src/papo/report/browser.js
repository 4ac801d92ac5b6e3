/* What is chosen: the filters, the order, and the item; and how keys and clicks change it. */

const CHUNK = 150; /* rows that are drawn at a time */
const $ = (id) => document.getElementById(id);
const list = $("list");
const state = { sort: SORTS[0], descending: false, query: "", chosen: new Map(), shown: [], item: null };

for (const sort of SORTS) {
  if (items.some((item) => !missing(sort.value(item)))) $("sort").append(new Option(sort.name, SORTS.indexOf(sort)));
}
for (const filter of FILTERS) {
  const select = element("select", "", new Option("all", ""));
  for (const [value, n] of filter.counts) select.append(new Option(`${value} (${n})`, `=${value}`));
  select.addEventListener("change", () => {
    if (select.value) state.chosen.set(filter, select.value.slice(1));
    else state.chosen.delete(filter);
    update();
  });
  $("filters").insertBefore(element("label", "", filter.name, select), $("reset-all"));
}

function update() {
  const query = state.query.trim().toLowerCase();
  state.shown = items
    .filter((item) => [...state.chosen].every(([filter, value]) => filter.of(item).includes(value)))
    .filter((item) => !query || haystack(item).includes(query))
    .sort((a, b) => compare(state.sort.value(a), state.sort.value(b), state.descending));
  const total = items.length.toLocaleString("en");
  $("count").textContent = `${state.shown.length.toLocaleString("en")} of ${total}`;
  list.replaceChildren();
  list.scrollTop = 0;
  draw(CHUNK);
  choose(state.shown.includes(state.item) ? state.item : (state.shown[0] ?? null));
}

/* At least the first `upTo` rows. */
function draw(upTo) {
  const from = list.childElementCount;
  const to = Math.min(Math.max(upTo, from), state.shown.length);
  list.append(...state.shown.slice(from, to).map((item) => row(item, state.sort.show)));
}

function choose(item) {
  if (state.item) $(`row-${state.item.n}`)?.setAttribute("aria-selected", "false");
  const changed = item !== state.item;
  state.item = item;
  if (!item) {
    list.removeAttribute("aria-activedescendant");
    $("item").replaceChildren(element("p", "note", "No item fits. Reset the filters to see all."));
    return;
  }
  const place = state.shown.indexOf(item);
  if (place >= 0) {
    draw(place + CHUNK);
    const chosen = $(`row-${item.n}`);
    chosen.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", chosen.id);
    reveal(chosen);
  }
  if (changed || !$("item").querySelector("h3")) $("item").replaceChildren(...itemView(item, choose));
  if (changed && $("item").getBoundingClientRect().top < 0) $("item").scrollIntoView();
}

/* Scrolls the list alone; scrollIntoView would move the page under the reader. */
function reveal(chosen) {
  const above = chosen.offsetTop - list.scrollTop;
  const below = above + chosen.offsetHeight - list.clientHeight;
  if (above < 0) list.scrollTop += above;
  else if (below > 0) list.scrollTop += below;
}

function step(by) {
  const place = state.shown.indexOf(state.item) + by;
  if (place >= 0 && place < state.shown.length) choose(state.shown[place]);
}

const STEPS = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1 };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea");
  const arrow = event.key.startsWith("Arrow");
  /* Arrows scroll the page, unless the list or the search has the focus. */
  const steps = arrow ? event.target === list || event.target === $("query") : !typing;
  if (event.key === "/" && !typing) $("query").focus();
  else if (event.key === "Home" && event.target === list) choose(state.shown[0] ?? null);
  else if (event.key === "End" && event.target === list) choose(state.shown.at(-1) ?? null);
  else if (event.key in STEPS && steps) step(STEPS[event.key]);
  else return;
  event.preventDefault();
});

list.addEventListener("click", (event) => {
  const clicked = event.target.closest("li");
  if (clicked) choose(items[Number(clicked.dataset.n)]);
});
list.addEventListener("scroll", () => {
  if (list.scrollTop + 2 * list.clientHeight > list.scrollHeight) draw(list.childElementCount + CHUNK);
});

let typed = 0;
$("query").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => {
    state.query = $("query").value;
    update();
  }, 120);
});
$("sort").addEventListener("change", () => {
  state.sort = SORTS[Number($("sort").value)];
  update();
});
$("direction").addEventListener("click", () => {
  state.descending = !state.descending;
  $("direction").textContent = state.descending ? "descending" : "ascending";
  $("direction").ariaPressed = String(state.descending);
  update();
});
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("reset-all").addEventListener("click", () => {
  $("filters").reset();
  Object.assign(state, { sort: SORTS[0], descending: false, query: "", chosen: new Map() });
  $("direction").textContent = "ascending";
  $("direction").ariaPressed = "false";
  update();
});

update();
