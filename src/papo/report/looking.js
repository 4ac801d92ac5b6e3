/* Where a response looked: its item's pictures, each cell coloured by what a map of the response loses without it. */

const LEVELS = 127;
const LEAST_TOP = 0.1; /* nats: the scale of an item that hardly loses anything must not make its noise look like more */

/* A response's maps as numbers: of map m, cell c, in nats. */
function mapsOf({ levels, scale }) {
  const bytes = Int8Array.from(atob(levels), (byte) => byte.charCodeAt(0));
  const cells = bytes.length / scale.length;
  return (m, c) => (bytes[m * cells + c] * scale[m]) / LEVELS;
}

/* Where the colour scale of an item ends, so that its responses can be compared. */
const lookingTop = (all) => Math.max(LEAST_TOP, ...all.flatMap(({ drops }) => drops?.scale ?? []));
const signedNats = (value) => `${value > 0 ? "+" : ""}${fixed(value)} nats`;

/* The figure of a response's maps: its first one; that of a token while the mouse is over it; and what a click on a
   button or a token, or an arrow key among the tokens, chose to keep. */
function looking(drops, images, top, body) {
  const value = mapsOf(drops);
  const frames = drops.pictures.map((cut, i) => frame(images[i], ...cut));
  const cells = frames.flatMap((made) => [...made.lastChild.children]);
  const caption = element("figcaption", "");
  const buttons = drops.sums.map((name) => element("button", "", name));
  const first = buttons.length; /* the map of the first token */
  const all = body.querySelectorAll(".token"); /* a long response is cut off */
  const chips = drops.tokens.map((place) => all[place]).filter(Boolean);
  const names = [...drops.sums, ...chips.map((chip) => chip.textContent.trim() || "a space")];
  let kept = 0;

  function show(m) {
    const values = cells.map((_, c) => value(m, c));
    const largest = values.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
    cells.forEach((cell, c) => {
      cell.className = values[c] < 0 ? "against" : "for";
      cell.style.setProperty("--drop", Math.sqrt(Math.min(Math.abs(values[c]) / top, 1)).toFixed(3));
      cell.title = signedNats(values[c]);
    });
    caption.replaceChildren(text("b", "", names[m]), `, strongest cell ${signedNats(largest)}`);
  }

  function keep(m) {
    kept = m;
    buttons.forEach((button, other) => (button.ariaPressed = String(other === m)));
    chips.forEach((chip, i) => chip.classList.toggle("kept", first + i === m));
    show(m);
  }

  buttons.forEach((button, m) => {
    button.type = "button";
    button.addEventListener("click", () => keep(m));
  });
  chips.forEach((chip, i) => {
    chip.classList.add("seen");
    chip.addEventListener("mouseenter", () => show(first + i));
    chip.addEventListener("mouseleave", () => show(kept));
    chip.addEventListener("click", () => keep(kept === first + i ? 0 : first + i));
  });
  body.tabIndex = 0;
  body.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    keep(Math.min(Math.max(kept + by, first), names.length - 1));
    event.preventDefault();
  });
  keep(0);
  return element("figure", "look", zoomable("where it looked", element("div", "frames", ...frames)), caption, element("div", "sums", ...buttons));
}

/* A picture of so many patches under its cells; those at its right and lower edge may be cut off by it. */
function frame(number, rows, columns, side) {
  const image = element("img", "");
  image.alt = "";
  image.src = block(`picture-${number}`);
  const [down, across] = [Math.ceil(rows / side), Math.ceil(columns / side)];
  const cells = element("div", "cells", ...Array.from({ length: down * across }, () => element("i", "")));
  cells.style.gridTemplate = `repeat(${down}, ${(100 * side) / rows}%) / repeat(${across}, ${(100 * side) / columns}%)`;
  return element("div", "frame", image, cells);
}

function lookingLegend(top) {
  const bar = element("span", "bar drops");
  const ticks = [-1, -0.5, 0, 0.5, 1].map((place) => {
    const value = Number((place ** 2 * top).toPrecision(2)); /* that of the square root, as for tokens */
    const tick = element("span", "", place < 0 ? `−${value}` : `${value}`);
    tick.style.setProperty("--place", (place + 1) / 2);
    return tick;
  });
  const scale = element("span", "scale", bar, element("span", "ticks", ...ticks));
  return element("div", "legend", "lost without a cell, nats; of a token: point at it", scale);
}
