// Charts in SVG that draw themselves again when their width changes.

/** A chart in `host`: `draw(frame)` is called with the plot's box for the present width. */
function chart(host, { height, label, margin = {}, draw, focusable = false }) {
  const svg = svgEl("svg", { role: "img", "aria-label": label });
  if (focusable) fill(svg, { tabindex: 0, role: "application" }, []);
  host.append(svg);
  const space = { left: 52, right: 14, top: 14, bottom: 40, ...margin };
  let width = 0;
  const redraw = () => {
    width = host.clientWidth;
    if (!width) return;
    const tall = typeof height === "function" ? height(width) : height;
    svg.setAttribute("viewBox", `0 0 ${width} ${tall}`);
    svg.style.height = `${tall}px`;
    svg.replaceChildren();
    draw({
      svg, width, height: tall,
      left: space.left, right: width - space.right, top: space.top, bottom: tall - space.bottom,
    });
  };
  new ResizeObserver(() => { if (host.clientWidth !== width) redraw(); }).observe(host);
  redraw();
  return { svg, redraw, relabel: (text) => svg.setAttribute("aria-label", text) };
}

/** A scale from numbers to pixels; `ticks` are round numbers, about `count` of them. */
function linear([low, high], [start, end]) {
  const scale = (value) => start + ((value - low) / (high - low)) * (end - start);
  scale.invert = (pixel) => low + ((pixel - start) / (end - start)) * (high - low);
  scale.ticks = (count = 5) => {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= 0.75 * rough) ?? 10 * power;
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) found.push(+(i * step).toPrecision(12));
    return found;
  };
  return Object.assign(scale, { low, high });
}

function logarithmic([low, high], [start, end]) {
  const inner = linear([Math.log(low), Math.log(high)], [start, end]);
  const scale = (value) => inner(Math.log(value));
  scale.invert = (pixel) => Math.exp(inner.invert(pixel));
  scale.ticks = (count = 6) => {
    const decades = Math.log10(high / low);
    const steps = decades > count ? [1] : decades > count / 3 ? [1, 3] : decades > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const step of steps) found.push(+(step * 10 ** power).toPrecision(4));
    return found.filter((tick) => tick >= low * 0.9999 && tick <= high * 1.0001);
  };
  return Object.assign(scale, { low, high });
}

/** Axes with grid, ticks and titles. */
function axes(frame, x, y, { xTitle, yTitle, xTicks, yTicks, xText = number, yText = number, xGrid = true }) {
  const { svg, left, right, top, bottom } = frame;
  for (const tick of xTicks ?? x.ticks(Math.max(3, (right - left) / 90))) {
    if (xGrid) svg.append(svgEl("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: bottom }));
    svg.append(svgEl("text", { x: x(tick), y: bottom + 17, "text-anchor": "middle" }, xText(tick)));
  }
  for (const tick of yTicks ?? y.ticks(Math.max(3, (bottom - top) / 45))) {
    svg.append(svgEl("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }));
    svg.append(svgEl("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, yText(tick)));
  }
  svg.append(svgEl("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  if (xTitle) svg.append(svgEl("text", { class: "title", x: (left + right) / 2, y: bottom + 35, "text-anchor": "middle" }, xTitle));
  if (yTitle) {
    const middle = (top + bottom) / 2;
    svg.append(svgEl("text", { class: "title", x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, yTitle));
  }
}

/** The path through points in pixels; null breaks it. */
function pathOf(points) {
  let text = "", pen = "M";
  for (const point of points) {
    if (point === null) { pen = "M"; continue; }
    text += `${pen}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    pen = "L";
  }
  return text;
}

/** A band between two lines of points in pixels. */
const bandOf = (lower, upper) => `${pathOf(lower)}${pathOf([...upper].reverse()).replace("M", "L")}Z`;

// Shapes as in the figures, so that curves can be told apart without their colours.
const SHAPES = {
  circle: "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0Z", square: "M-3-3H3V3H-3Z", diamond: "M0-4.3L4.3 0L0 4.3L-4.3 0Z",
  plus: "M-1.3-4H1.3V-1.3H4V1.3H1.3V4H-1.3V1.3H-4V-1.3H-1.3Z", cross: "M-4-2.2L-2.2-4L0-1.8L2.2-4L4-2.2L1.8 0L4 2.2L2.2 4L0 1.8L-2.2 4L-4 2.2L-1.8 0Z",
  down: "M-4-3H4L0 4Z", up: "M-4 3H4L0-4Z",
};
const MARKS = { Ridge: "square", LightGBM: "diamond", CNN: "plus", MLP: "cross", "Template fit": "down", Exact: "up", exact: "up" };

/** The mark of a method at a point of its curve. */
function mark(name, x, y, style) {
  const known = Object.keys(MARKS).find((start) => name.startsWith(start));
  const hollow = name === "SpecViT" && data.dashboard && "SpecViT, taught" in data.dashboard.estimators;
  return svgEl("path", { class: hollow ? "dot hollow" : "dot", style, d: SHAPES[MARKS[known] ?? "circle"], transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` });
}

/** Clips what is drawn into the group it returns to the plot's box. */
function clipped(frame) {
  const id = newId();
  const { left, right, top, bottom } = frame;
  frame.svg.append(svgEl("clipPath", { id }, svgEl("rect", { x: left, y: top, width: right - left, height: bottom - top })));
  const group = svgEl("g", { "clip-path": `url(#${id})` });
  frame.svg.append(group);
  return group;
}

/** Points of a spectrum in pixels between two indices: where there are many, lowest and highest of each column. */
function spectrumPoints(wave, flux, x, y, first, last) {
  const per = (last - first) / Math.max(1, Math.abs(x(wave[last]) - x(wave[first])));
  if (per <= 2) {
    const all = [];
    for (let i = first; i <= last; i++) all.push([x(wave[i]), y(flux[i])]);
    return all;
  }
  const points = [], size = Math.ceil(per);
  for (let i = first; i <= last; i += size) {
    let low = i, high = i;
    for (let j = i; j < Math.min(i + size, last + 1); j++) {
      if (flux[j] < flux[low]) low = j;
      if (flux[j] > flux[high]) high = j;
    }
    for (const j of low < high ? [low, high] : [high, low]) points.push([x(wave[j]), y(flux[j])]);
  }
  return points;
}

/** A tip beside the pointer; `find(x, y)` returns the nodes to show, or null. */
function tips(host, svg, find) {
  const tip = el("div", { class: "tip", hidden: true });
  host.append(tip);
  const hide = () => { tip.hidden = true; };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top, nodes = find(x, y);
    if (!nodes) return hide();
    tip.replaceChildren(...nodes);
    tip.hidden = false;
    tip.style.left = `${clamp(x + 14 + tip.offsetWidth > box.width ? x - tip.offsetWidth - 14 : x + 14, 0, box.width)}px`;
    tip.style.top = `${y + 14}px`;
  });
}

/** The nearest of some points {x, y} in pixels, within `reach`. */
function nearest(points, x, y, reach = 28) {
  let best = null, distance = reach ** 2;
  for (const point of points) {
    const away = (point.x - x) ** 2 + (point.y - y) ** 2;
    if (away < distance) [best, distance] = [point, away];
  }
  return best;
}
