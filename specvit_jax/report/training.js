// Loss, validation score and learning rate of runs.

const LABEL_COLOURS = ["var(--method-1)", "var(--other-0)", "var(--other-1)", "var(--other-2)", "var(--other-3)"];

function startTraining() {
  const state = { run: 0, log: true };
  const host = byId("training-plots"), controls = byId("training-controls");
  const show = () => {
    const run = data.training[state.run], { about } = run;
    readings(byId("training-readings"), [
      ["run", run.name, about.state], ["steps", about.steps, ""],
      [`best validation ${about.score}`, fixed(about.best_score, 4), about.best_step === null ? "" : `at step ${thousands(about.best_step)}`],
      ["speed", number(about.spectra_per_s), "spectra/s"],
    ].filter(([, value]) => value !== "–"));
    host.replaceChildren(el("div", { class: "panels" }, ...run.panels.map((panel) => el("figure", {}, el("figcaption", {}, panel.title), el("div", { class: "plot" })))));
    run.panels.forEach((panel, i) => trainingPanel(host.querySelectorAll(".plot")[i], panel, state));
  };
  if (data.training.length > 1) controls.append(selectField("Run", data.training.map((run) => run.name), (i) => { state.run = i; show(); }).field);
  controls.append(chip("logarithmic loss", "var(--focus)", false, (on) => { state.log = on; show(); }));
  show();
}

function trainingPanel(host, panel, state) {
  let points = [];
  const values = panel.lines.flatMap((line) => line.points.map((point) => point[1])).filter((value) => value !== null);
  const logged = state.log && panel.title === "Loss" && Math.min(...values) > 0;
  const made = chart(host, {
    height: 250,
    label: `${panel.title} against training step`,
    margin: { left: 60 },
    draw(frame) {
      const steps = panel.lines.flatMap((line) => line.points.map((point) => point[0]));
      const x = linear([0, Math.max(...steps)], [frame.left, frame.right]);
      const low = Math.min(...values), high = Math.max(...values), pad = 0.06 * (high - low) || Math.abs(high) * 0.1 || 1;
      const y = logged ? logarithmic([low / 1.1, high * 1.1], [frame.bottom, frame.top])
        : linear([low < 0 || panel.title.startsWith("Validation") ? low - pad : 0, high + pad], [frame.bottom, frame.top]);
      axes(frame, x, y, { xTitle: "training step", yTitle: panel.unit, xText: shortCount });
      points = panel.lines.flatMap((line, i) => trainingLine(frame.svg, line, i, panel.lines.length, x, y));
    },
  });
  tips(host, made.svg, (x, y) => {
    const found = nearest(points, x, y, 40);
    return found && [el("strong", {}, found.name), el("br"), `step ${thousands(found.step)}: ${number(found.value, 4)}`];
  });
}

function trainingLine(svg, line, i, count, x, y) {
  const style = `--c:${LABEL_COLOURS[i % LABEL_COLOURS.length]}`;
  const points = line.points.filter(([, value]) => value !== null).map(([step, value]) => ({ x: x(step), y: y(value), step, value, name: line.name }));
  svg.append(svgEl("path", { class: "curve", style, d: pathOf(points.map((point) => [point.x, point.y])) }));
  const last = points[points.length - 1];
  if (count > 1) svg.append(svgEl("text", { style: `fill:${LABEL_COLOURS[i % LABEL_COLOURS.length]}`, x: last.x - 4, y: last.y + 16 + 14 * i, "text-anchor": "end" }, symbol(line.name)));
  return points;
}
