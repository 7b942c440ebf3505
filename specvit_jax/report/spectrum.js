// The chosen star's spectrum to pan and zoom, with the names of known lines.

const NARROWEST = 12; // Å, of a window

function startSpectrum() {
  const { wave } = explorer(), ends = [wave[0], wave[wave.length - 1]];
  const view = { from: ends[0], to: ends[1], noisy: true, clean: true, names: true };
  const host = byId("spectrum-plot");
  let scale = null;
  const made = chart(host, {
    height: (width) => (width < 560 ? 300 : 380),
    label: "Spectrum; arrow keys pan, plus and minus zoom, 0 shows all",
    margin: { top: 84, right: 26 },
    focusable: true,
    draw(frame) { scale = drawWindow(frame, view); },
  });
  const look = (from, to) => {
    const width = clamp(to - from, NARROWEST, ends[1] - ends[0]);
    const start = clamp((from + to - width) / 2, ends[0], ends[1] - width);
    Object.assign(view, { from: start, to: start + width });
    made.redraw();
    byId("spectrum-window").textContent = `${fixed(view.from, 0)} to ${fixed(view.to, 0)} Å`;
  };
  const pan = (share) => { const by = share * (view.to - view.from); look(view.from + by, view.to + by); };
  const zoom = (factor, at = (view.from + view.to) / 2) => look(at - (at - view.from) * factor, at + (view.to - at) * factor);
  spectrumControls(view, made, { look, pan, zoom, ends });
  spectrumKeys(made.svg, { pan, zoom, all: () => look(...ends) });
  spectrumPointer(made.svg, { view, look, zoom, ends, waveAt: (pixel) => scale.invert(pixel) });
  chosen.listen(() => look(view.from, view.to));
  look(...ends);
}

function drawWindow(frame, view) {
  const { wave, flux_step: step } = explorer();
  const first = Math.max(0, wave.findIndex((value) => value >= view.from) - 1);
  const after = wave.findIndex((value) => value > view.to), last = after < 0 ? wave.length - 1 : after;
  const x = linear([view.from, view.to], [frame.left, frame.right]);
  const y = linear(fluxRange(starNow(), rowNow()), [frame.bottom, frame.top]);
  axes(frame, x, y, { xTitle: "wavelength in vacuum (Å)", yTitle: "flux", xText: String });
  const group = clipped(frame);
  if (view.names) drawFeatures(frame, group, x, view);
  drawSpectra(group, x, y, first, last, view, step);
  return x;
}

/** Known lines at their wavelengths; names where there is room, the strongest lines first. */
function drawFeatures(frame, group, x, view) {
  const inside = data.features.filter(([, wave]) => wave >= view.from && wave <= view.to);
  const strength = ([name]) => ["Ca II", "K I", "Na I", "TiO", "Mg I", "CN"].findIndex((start) => name.startsWith(start));
  const order = inside.sort((a, b) => (strength(a) + 9) % 9 - (strength(b) + 9) % 9);
  const used = [];
  for (const [name, wave] of order) {
    const at = x(wave);
    group.append(svgEl("line", { x1: at, x2: at, y1: frame.top, y2: frame.bottom, stroke: "var(--soft)", "stroke-opacity": 0.45 }));
    if (used.some((other) => Math.abs(other - at) < 15)) continue;
    used.push(at);
    frame.svg.append(svgEl("text", { class: "feature", x: at + 4, y: frame.top - 4, transform: `rotate(-58 ${at + 4} ${frame.top - 4})` }, name));
  }
}

function spectrumControls(view, made, { look, pan, zoom, ends }) {
  const names = data.features.map(([name, wave]) => `${name} (${fixed(wave, 1)} Å)`);
  const jump = selectField("Go to a line", ["All wavelengths", ...names], (i) => {
    if (i === 0) return look(...ends);
    const wave = data.features[i - 1][1];
    look(wave - 40, wave + 40);
  });
  const move = buttonField("Move and zoom", [
    ["←", "Pan to the blue", () => pan(-0.3)], ["→", "Pan to the red", () => pan(0.3)],
    ["+", "Zoom in", () => zoom(0.6)], ["−", "Zoom out", () => zoom(1 / 0.6)], ["All", "Show all wavelengths", () => look(...ends)],
  ]);
  const toggle = (text, colour, key) => chip(text, colour, false, (on) => { view[key] = on; made.redraw(); });
  const chips = el("div", { class: "buttons", role: "group", "aria-label": "Shown" },
    toggle("noisy", "var(--data)", "noisy"), toggle("noiseless", "var(--model)", "clean"), toggle("line names", "var(--soft)", "names"));
  byId("spectrum-controls").append(jump.field, move, chips);
}

function spectrumKeys(svg, { pan, zoom, all }) {
  const keys = {
    ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15), ArrowUp: () => zoom(0.7), ArrowDown: () => zoom(1 / 0.7),
    "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7), 0: all, Home: all,
  };
  svg.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
}

/** Dragging pans. The wheel zooms once the pointer has moved over the plot, so that scrolling past stays scrolling. */
function spectrumPointer(svg, { view, look, zoom, ends, waveAt }) {
  let held = null, awake = false;
  svg.classList.add("pan");
  svg.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, from: view.from, to: view.to };
    svg.setPointerCapture(event.pointerId);
    svg.classList.add("held");
  });
  svg.addEventListener("pointermove", (event) => {
    awake ||= event.movementX !== 0 || event.movementY !== 0;
    if (!held) return;
    const by = waveAt(held.x) - waveAt(event.clientX);
    look(held.from + by, held.to + by);
  });
  const release = () => { held = null; svg.classList.remove("held"); };
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", release);
  svg.addEventListener("pointerleave", () => { awake = false; });
  svg.addEventListener("wheel", (event) => {
    const whole = view.to - view.from >= ends[1] - ends[0] - 1e-6;
    if (!awake || (whole && event.deltaY > 0)) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.18 : 1 / 1.18, waveAt(event.clientX - svg.getBoundingClientRect().left));
  }, { passive: false });
}
