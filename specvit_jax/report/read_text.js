// Spectra in tables of text: CSV, ECSV, columns with or without names; as crlb/readers/text.py reads them.

const COMMENTS = ["#", "%", "!", "//"];
const NO_NUMBER = new Set(["", "-", "--", "nan", "null", "none", "na", "n/a", "masked", "indef"]);
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$/;
const INFINITE = /^[+-]?inf(inity)?$/i;

/** The table of a text as {columns, units, said, named}. */
function textTable(text) {
  const table = text.startsWith("# %ECSV") ? ecsvTable(text) : plainTable(text);
  for (const [name, values] of Object.entries(table.columns)) table.columns[name] = numbersOf(values);
  return table;
}

function plainTable(text) {
  const comments = [], lines = [];
  for (const line of text.split(/\r\n|\r|\n/)) {
    const bare = line.trim();
    if (COMMENTS.some((sign) => bare.startsWith(sign))) comments.push(bare.replace(/^[#%!/ ]+/, ""));
    else if (/[^-=+| ]/.test(bare)) lines.push(line);
  }
  if (!lines.length) throw new Error("There is no line of numbers in this file.");
  const last = lines[lines.length - 1], sign = [";", "\t", "|", ","].find((one) => last.includes(one));
  const rows = lines.map((line) => (sign ? fieldsOf(line, sign) : line.trim().split(/\s+/)));
  if (sign && sign !== "," && rows.slice(-20).flat().some((field) => /^[+-]?\d+,\d+$/.test(field))) throw new Error("Numbers have a decimal comma; write them with a point.");
  const clean = (name) => name.trim().replace(/^[,;'"]+|[,;'"]+$/g, "");
  let names = isNumeric(rows[0]) ? null : rows.shift().map(clean), named = names !== null;
  if (!named && (names = commentedNames(comments, rows[0].length, clean))) named = true;
  names ??= rows[0].map((_, i) => String(i + 1));
  if (!rows.length) throw new Error(`There are names (${names.slice(0, 12).join(", ")}) and no numbers below them.`);
  const units = named && rows.length > 1 && !isNumeric(rows[0]) && rows[0].some((word) => waveSize(word)) ? rows.shift() : [];
  const said = saidBy(Object.fromEntries(comments.map((one) => /^\s*([A-Za-z_][\w -]*?)\s*[:=]\s*(.+?)\s*$/.exec(one.slice(0, 500))).filter(Boolean).map(([, key, value]) => [key, value])));
  return { columns: columnsOf(names, rows), units: Object.fromEntries(units.map((unit, i) => [names[i], unit.trim()]).filter(([, unit]) => unit)), said, named };
}

/** Fields of a line, with quotes as in CSV. */
function fieldsOf(line, sign) {
  if (!line.includes('"')) return line.split(sign).map((field) => field.trim());
  const fields = [];
  for (let at = 0, word = "", quoted = false; at <= line.length; at++) {
    const letter = line[at];
    if (letter === '"' && quoted && line[at + 1] === '"') { word += '"'; at++; }
    else if (letter === '"') quoted = !quoted;
    else if (letter === undefined || (letter === sign && !quoted)) { fields.push(word.trim()); word = ""; }
    else word += letter;
  }
  return fields;
}

function columnsOf(names, rows) {
  if (new Set(names).size < names.length) throw new Error(`Several columns have one name: ${names.join(", ")}.`);
  const columns = Object.create(null);
  names.forEach((name) => { columns[name] = []; });
  rows.forEach((row, i) => {
    if (row.length === names.length + 1 && row[names.length] === "") row.pop();
    if (row.length !== names.length) throw new Error(`Row ${i + 1} of numbers has ${row.length} columns, not ${names.length}: '${row.join(" ").slice(0, 60)}'.`);
    row.forEach((word, k) => columns[names[k]].push(word));
  });
  return columns;
}

const isNumeric = (row) => row.some((word) => NUMBER.test(word.trim())) || row.every((word) => NO_NUMBER.has(word.trim().toLowerCase()));

/** The names of the columns in the last comment that can be a line of names. */
function commentedNames(comments, width, clean) {
  for (const comment of [...comments].reverse()) {
    for (const fields of [comment.split(","), comment.split(";"), comment.split("\t"), comment.trim().split(/\s+/)]) {
      const names = fields.map(clean), bases = names.map((name) => parsedName(name).base);
      const has = (role) => bases.some((base) => data.words.names[role].includes(base));
      if (names.length === width && has("flux") && ["wave", "log10", "ln"].some(has)) return names;
    }
  }
  return null;
}

/** Numbers, where all of a column are numbers or words for "none"; else the texts. */
function numbersOf(values) {
  const found = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const word = String(values[i]).trim();
    if (NUMBER.test(word)) found[i] = +word.replace(/[dD]/, "e");
    else if (INFINITE.test(word)) found[i] = word.startsWith("-") ? -Infinity : Infinity;
    else if (NO_NUMBER.has(word.toLowerCase()) || /^\*+$/.test(word)) found[i] = NaN;
    else if (/^(true|false)$/i.test(word)) found[i] = +(word.toLowerCase() === "true");
    else return values;
  }
  return Object.assign(found, { cell: 1 });
}

/** Enhanced CSV: names, units and metadata in a header of comments. */
function ecsvTable(text) {
  const lines = text.split(/\r\n|\r|\n/).filter((line) => line.trim()), head = [], rows = [];
  for (const line of lines) (line.startsWith("#") && !rows.length ? head : rows).push(line.startsWith("#") && !rows.length ? line.replace(/^# ?/, "") : line);
  const sign = /^delimiter:\s*['"]?(.)/.exec(head.find((line) => line.startsWith("delimiter:")) ?? "")?.[1] ?? " ";
  const words = rows.map((line) => (sign === "," ? fieldsOf(line, ",") : fieldsOf(line.trim().replace(/ +/g, " "), " ")));
  if (words.length < 2) throw new Error("This ECSV file has no rows.");
  const units = Object.create(null), given = Object.create(null), plain = (word) => word?.trim().replace(/^['"]|['"]$/g, "");
  for (const line of head) {
    const name = plain(/\bname:\s*("[^"]*"|'[^']*'|[^,}]+)/.exec(line)?.[1]), unit = plain(/\bunit:\s*("[^"]*"|'[^']*'|[^,}]+)/.exec(line)?.[1]);
    if (/^- *\{ *name:/.test(line)) { if (unit) units[name] = unit; continue; }
    const pair = /^\s*-?\s*\{?\s*([\w-]+):\s*(.*?)\s*\}?$/.exec(line);
    if (pair) given[pair[1]] = plain(pair[2]);
  }
  const body = words.slice(1);
  return { columns: columnsOf(words[0], body), units, said: saidBy(given), named: true };
}
