// Columns of a table of spectra: which is what, in which unit and medium; as crlb/readers/columns.py has it.

/** Å of a unit of wavelengths, or {size, base} of a logarithm; null: it names none. */
function waveSize(text) {
  let clean = String(text ?? "").trim().toLowerCase().replace(/\.$/, "");
  if (["loglam", "logwave", "wave-log"].includes(clean)) clean = "log10(a)";
  if (clean in data.words.units) return { size: data.words.units[clean], base: null };
  if (/^0?\.1 ?nm$/.test(clean)) return { size: 1, base: null };
  const log = /^(log10|log|ln|dex)\s*[([]?\s*([^()[\]]*?)\s*[)\]]?$/.exec(clean);
  if (!log) return null;
  const inner = log[2].replace(/(wavelength|lambda)$/, "").trim() || "a";
  return inner in data.words.units ? { size: data.words.units[inner], base: log[1] === "ln" ? Math.E : 10 } : null;
}

/** The medium that a text names as a word; null: none, or both. */
function mediumIn(text) {
  const air = /\bair\b/i.test(text ?? ""), vacuum = /\bvac(uum)?\b/i.test(text ?? "");
  return air === vacuum ? null : air ? "air" : "vacuum";
}

const KNOWN_NAMES = () => (data.words.known ??= new Set(Object.values(data.words.names).flat()));

/** Base name, unit and medium that a column's name says: "wave_air [nm]" is wave, nm, air. */
function parsedName(name) {
  const found = /^(.*?)\s*[[(]\s*(.*?)\s*[\])]\s*$/.exec(name.trim().slice(0, 200));
  let base = (found ? found[1] : name.trim()).toLowerCase().replace(/[\s\-.]+/g, "_");
  let unit = found ? found[2] : null, medium = mediumIn(unit);
  if (medium) unit = unitAlone(unit);
  for (let match; !KNOWN_NAMES().has(base) && (match = /^(.+?)_(nm|um|microns?|a|aa|ang|angstroms?|vac|vacuum|air)$/.exec(base));) {
    base = match[1];
    if (waveSize(match[2])) unit ??= match[2];
    else medium = match[2] === "air" ? "air" : "vacuum";
  }
  return { base, unit, medium };
}

const unitAlone = (text) => (text ?? "").replace(/\b(in|vac|vacuum|air)\b/gi, "").replace(/^[ ,;()[\]]+|[ ,;()[\]]+$/g, "") || null;

/** What keywords of headers and comments say: units, medium, name of the star. */
function saidBy(words) {
  const lower = Object.fromEntries(Object.entries(words).map(([key, value]) => [key.toLowerCase().replaceAll("-", "_").trim(), value]));
  const first = (keys) => { const key = keys.find((one) => lower[one] !== undefined && lower[one] !== ""); return key === undefined ? null : String(lower[key]).trim(); };
  const medium = data.words.medium_keys.map((key) => mediumIn(lower[key] === undefined ? "" : String(lower[key]))).find(Boolean) ?? null;
  return { waveUnit: first(data.words.wave_unit_keys), medium, fluxUnit: first(data.words.flux_unit_keys), star: first(data.words.star_keys) ?? "" };
}

/** The column that has a role by its name; null: none. Refuses where several could be it. */
function roleOf(role, table) {
  const names = data.words.names[role];
  let found = Object.keys(table.columns).filter((name) => names.includes(parsedName(name).base));
  if (role === "wave") {
    const vacuum = found.filter((name) => parsedName(name).medium === "vacuum");
    if (vacuum.length === 1) found = vacuum;
  }
  if (found.length <= 1 || role === "star") return found[0] ?? null;
  const best = found.filter((name) => parsedName(name).base === names[0]);
  const second = found.filter((name) => role === "mask" && /^and_?mask$/.test(parsedName(name).base));
  if (best.length === 1 || second.length === 1) return best.length === 1 ? best[0] : second[0];
  throw new Error(`Several columns could be ${role}: ${found.join(", ")}. Choose one below.`);
}

const waveOf = (table) => roleOf("wave", table) ?? roleOf("log10", table) ?? roleOf("ln", table);
const isOwn = (table) => Object.keys(table.columns).join() === data.words.own.join();

/** Role -> name of its column: as chosen, else by the names. */
function rolesOf(table, chosen) {
  const names = Object.keys(table.columns);
  const roles = { ...unnamedRoles(table, names), ...Object.fromEntries(Object.entries(chosen).filter(([, name]) => name)) };
  if (table.named) {
    roles.wave ??= waveOf(table);
    for (const role of ["flux", "error", "ivar", "variance", "mask", "good", "star"]) roles[role] ??= roleOf(role, table);
    if (!chosen.flux && isOwn(table)) roles.flux = "noisy";
  }
  for (const role of ["wave", "flux"]) {
    if (!roles[role]) throw new Error(`No column is named as ${role === "wave" ? "a wavelength" : "a flux"}; choose it below. The columns are ${names.slice(0, 40).join(", ")}.`);
    if (!(table.columns[roles[role]] instanceof Float64Array)) throw new Error(`The column '${roles[role]}' does not hold numbers; choose another one below.`);
  }
  return roles;
}

function unnamedRoles(table, names) {
  if (table.named || names.length < 2 || names.length > 3) return {};
  const third = names[2] && table.columns[names[2]];
  if (third instanceof Float64Array && third.every((value) => value === 0 || value === 1)) throw new Error("The third column has no name and only 0 and 1, which are no errors; give the columns names.");
  return { wave: names[0], flux: names[1], error: names[2] };
}

/** Unit and medium of the wavelengths and unit of the flux, by names, units and headers. */
function unitsOf(table, roles) {
  const name = parsedName(roles.wave), own = isOwn(table), text = table.units[roles.wave] || table.said.waveUnit;
  const medium = name.medium ?? mediumIn(text) ?? table.said.medium ?? (own ? "vacuum" : null);
  let unit = (mediumIn(text) ? unitAlone(text) : text) || name.unit || (own ? "A" : null);
  const base = data.words.names.log10.includes(name.base) ? "log10" : data.words.names.ln.includes(name.base) ? "ln" : "";
  if (base && !/log|ln|dex/.test(unit ?? "")) unit = `${base}(${unit ?? "A"})`;
  const flux = parsedName(roles.flux);
  let fluxUnit = table.units[roles.flux] || flux.unit || table.said.fluxUnit;
  if (!fluxUnit && ["fnu", "f_nu", "flux_nu"].includes(flux.base)) fluxUnit = "FNU";
  if (!fluxUnit && flux.base.includes("norm")) fluxUnit = "normalised";
  return { unit, medium, fluxUnit: fluxUnit || (own ? data.words.model_unit : null) };
}
