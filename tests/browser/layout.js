// What a careful eye would find in the layout of a page, as lines: texts that are cut, that stick out of their box or
// lie on each other, controls that are too small or lie on each other, and a page that scrolls sideways.
//
// Arguments: the least size of a control in CSS pixels.

const [least] = arguments;
const ROOM = 1; // pixels of rounding that nobody sees
const CONTROLS = "a[href], button, input, select, summary";
const found = [];

const named = (element) => {
  const name = element.localName + [...element.classList].map((one) => `.${one}`).join("");
  const words = (element.innerText || element.value || element.ariaLabel || "").trim().replace(/\s+/g, " ").slice(0, 40);
  return `${name} '${words}'`;
};
const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
/** Clipped to a pixel: there for readers of the screen only. */
const unseen = (element) => {
  for (let each = element; each; each = each.parentElement) if (getComputedStyle(each).clipPath !== "none") return true;
  return false;
};
const looked = [...document.body.querySelectorAll("*")].filter((element) => shown(element) && !unseen(element) && !element.closest(".uplot"));

// ── Texts: the boxes of their letters ───────────────────────────────────────────────────────────────────────────

const texts = [];
for (const element of looked) {
  if (element.closest(".skip, select, datalist, noscript")) continue;
  for (const node of element.childNodes) {
    if (node.nodeType !== Node.TEXT_NODE || !node.data.trim()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) if (box.width > ROOM) texts.push({ element, box });
  }
}

const blockOf = (element) => {
  for (let each = element; each; each = each.parentElement) if (!getComputedStyle(each).display.startsWith("inline") || each.matches("button, .chip")) return each;
  return document.body;
};

const isBox = ({ display, overflowX }) => !/^(inline|contents)$/.test(display) && overflowX === "visible";

for (const { element, box } of texts) {
  for (let each = element; each && each !== document.body; each = each.parentElement) {
    const style = getComputedStyle(each);
    const frame = each.getBoundingClientRect();
    if (isBox(style) && (box.right > frame.right + ROOM || box.left < frame.left - ROOM)) found.push(`sticks out of ${named(each)}: ${named(element)}`);
    if (style.overflowX !== "visible" && style.overflowX !== "auto" && (box.right > frame.right + ROOM || box.left < frame.left - ROOM)) found.push(`cut: ${named(element)}`);
    if (style.overflowX === "auto" && each.scrollWidth > each.clientWidth + ROOM) found.push(`scrolls sideways: ${named(each)}`);
  }
  if (getComputedStyle(element).textOverflow === "ellipsis" && element.scrollWidth > element.clientWidth) found.push(`cut: ${named(element)}`);
}

/** Letters rarely fill the height of their box. */
const inked = ({ left, right, top, bottom }) => ({ left, right, top: top + (bottom - top) * 0.22, bottom: bottom - (bottom - top) * 0.22 });
const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > ROOM && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > ROOM;
/** What stays where it is while the rest scrolls lies on it by intention. */
const floats = (element) => element.closest(".top, .new-alerts") !== null;

const inks = texts.map(({ element, box }) => ({ element, box: inked(box) })).sort((a, b) => a.box.top - b.box.top);
inks.forEach((one, i) => {
  for (let j = i + 1; j < inks.length && inks[j].box.top < one.box.bottom; j++) {
    const other = inks[j];
    if (floats(one.element) === floats(other.element) && meet(one.box, other.box)) found.push(`overlap: ${named(one.element)} and ${named(other.element)}`);
  }
});

// ── Controls ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Within a sentence a link is as high as its line (WCAG 2.5.8 allows that). */
const inSentence = (element) => getComputedStyle(element).display === "inline" && blockOf(element).innerText.trim() !== element.innerText.trim();
const controls = looked.filter((element) => element.matches(CONTROLS) && !element.closest(".skip"));
for (const control of controls) {
  const { width, height } = control.getBoundingClientRect();
  if (!inSentence(control) && (height < least - 0.5 || width < Math.min(least, 24) - 0.5)) found.push(`smaller than ${least} px: ${named(control)}: ${width.toFixed(0)} × ${height.toFixed(0)}`);
}
controls.forEach((one, i) => {
  for (const other of controls.slice(i + 1)) {
    if (one.contains(other) || floats(one) !== floats(other)) continue;
    if (meet(one.getBoundingClientRect(), other.getBoundingClientRect())) found.push(`overlap: ${named(one)} and ${named(other)}`);
  }
});

const wide = document.documentElement.scrollWidth - innerWidth;
if (wide > 0) found.push(`the page is ${wide} px too wide`);
return [...new Set(found)];
