// Parts of the page shown one at a time: tabs for all of it, a list of the studies; addresses still lead there.

const panels = () => [...document.querySelectorAll("main > .panel")];
const panelOf = (node) => node?.closest("main > .panel");
const tabOf = (panel) => document.querySelector(`#tabs a[href="#${panel.dataset.tab}"]`);

function startTabs() {
  const bar = byId("tabs");
  bar.setAttribute("role", "tablist");
  panels().forEach((panel) => {
    panel.id = newId();
    fill(tabOf(panel), { id: newId(), role: "tab", "aria-controls": panel.id }, []);
    fill(panel, { role: "tabpanel", "aria-labelledby": tabOf(panel).id }, []);
  });
  keysOf(bar);
  startStudies();
  const follow = (focus) => { showPlace(placeOf(window.location.hash), focus); giveFocusBack(); };
  window.addEventListener("hashchange", () => follow(true));
  follow(false);
}

// A browser takes the focus from a link that leads within the page; a tab keeps it.
let pressed = null;

function giveFocusBack() {
  pressed?.focus({ preventScroll: true });
  pressed = null;
}

/** The element an address means; null: none. */
function placeOf(hash) {
  try { return document.getElementById(decodeURIComponent(hash.slice(1))); } catch { return null; }
}

/** Shows the panel, and the study, that an element is in. */
function showPlace(place, scroll) {
  const wanted = panelOf(place) ?? panels()[0];
  for (const panel of panels()) {
    panel.hidden = panel !== wanted;
    tabOf(panel).setAttribute("aria-selected", String(panel === wanted));
  }
  const study = place?.closest("#results article");
  if (study) showStudy(study);
  bringIntoView(byId("tabs"), tabOf(wanted));
  if (!scroll || !place) return;
  const isFirst = place === wanted.querySelector("section") || Boolean(study);
  if (isFirst) window.scrollTo(0, Math.min(window.scrollY, byId("main").offsetTop - byId("tabs").offsetHeight));
  else place.scrollIntoView({ block: "start" });
}

/** Scrolls a bar, and nothing else, to one of its links. */
function bringIntoView(bar, link) {
  bar.scrollLeft = link.offsetLeft - bar.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
  bar.scrollTop = link.offsetTop - bar.offsetTop - (bar.clientHeight - link.offsetHeight) / 2;
}

/** Space opens a link as Enter does; arrows, Home and End go to its neighbours. */
function keysOf(bar) {
  bar.addEventListener("click", (event) => { pressed = event.target.closest("a"); });
  bar.addEventListener("keydown", (event) => {
    const links = [...bar.querySelectorAll("a")], at = links.indexOf(document.activeElement);
    if (at < 0) return;
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (event.key === " ") links[at].click();
    else if (to !== undefined) links[(to + links.length) % links.length].focus();
    else return;
    event.preventDefault();
  });
}

const studies = () => [...document.querySelectorAll("#results article")];

/** A list of the studies beside the one that is shown. */
function startStudies() {
  const found = studies(), bar = byId("studies");
  if (!bar) return;
  bar.append(...found.map((one) => el("a", { href: `#${encodeURIComponent(one.id)}` }, studyName(one))));
  keysOf(bar);
  if (found.length) showStudy(found[0]);
  if (found.length < 2) bar.hidden = true;
}

/** The name of an experiment as people write it. */
function studyName(article) {
  const words = { dashboard: "R² against SNR", scaling: "Scaling" }[article.id] ?? article.id.replace(/^result-/, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function showStudy(wanted) {
  studies().forEach((one, i) => {
    one.hidden = one !== wanted;
    const link = byId("studies").children[i];
    if (one === wanted) { link.setAttribute("aria-current", "true"); bringIntoView(byId("studies"), link); }
    else link.removeAttribute("aria-current");
  });
}
