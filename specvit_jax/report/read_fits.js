// The tables of a FITS file: header cards, big-endian columns; compressed with gzip or not.

const CARD = 80, BLOCK = 2880;
const CELLS = {  // letter of TFORM -> bytes, reader
  D: [8, (view, at) => view.getFloat64(at)], E: [4, (view, at) => view.getFloat32(at)],
  K: [8, (view, at) => Number(view.getBigInt64(at))], J: [4, (view, at) => view.getInt32(at)],
  I: [2, (view, at) => view.getInt16(at)], B: [1, (view, at) => view.getUint8(at)],
  L: [1, (view, at) => (view.getUint8(at) === 84 ? 1 : 0)],
};
const WIDTHS = { A: 1, X: 1 / 8, C: 8, M: 16, P: 8, Q: 16 };  // bytes of what holds no number for a spectrum

/** The bytes of a file, unpacked where they are gzip. */
async function unzipped(bytes, most) {
  if (!(bytes[0] === 0x1f && bytes[1] === 0x8b)) return bytes;
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")).getReader(), parts = [];
  let length = 0;
  for (;;) {
    let step;
    try { step = await reader.read(); } catch { throw new Error("The gzip file is damaged or cut off; fetch it again."); }
    if (step.done) break;
    length += step.value.length;
    if (length > most) { await reader.cancel(); throw new Error(`Unpacked, the file is larger than the ${most / 2 ** 20} MiB that this page reads.`); }
    parts.push(step.value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

const isFits = (bytes) => new TextDecoder("latin1").decode(bytes.subarray(0, 9)) === "SIMPLE  =";

/** Every header of the file with the place of its data: [{header, start, size}]. */
function fitsParts(bytes) {
  const parts = [];
  for (let at = 0; at + BLOCK <= bytes.length;) {
    const { header, end } = fitsHeader(bytes, at);
    const axes = Array.from({ length: header.NAXIS ?? 0 }, (_, i) => header[`NAXIS${i + 1}`]);
    const cells = axes.length ? axes.reduce((a, b) => a * b, 1) : 0;
    const size = (Math.abs(header.BITPIX ?? 8) / 8) * (header.GCOUNT ?? 1) * ((header.PCOUNT ?? 0) + cells);
    if (!(size >= 0)) throw new Error(`FITS: the sizes in header ${parts.length} are no numbers; the file is damaged.`);
    if (end + size > bytes.length) throw new Error(`The FITS file is cut off: HDU ${parts.length} needs ${thousands(end + size)} bytes, the file has ${thousands(bytes.length)}. Fetch it again.`);
    parts.push({ header, start: end, size });
    at = end + Math.ceil(size / BLOCK) * BLOCK;
  }
  return parts;
}

function fitsHeader(bytes, start) {
  const header = Object.create(null), text = new TextDecoder("latin1");
  for (let at = start; at + CARD <= bytes.length; at += CARD) {
    const card = text.decode(bytes.subarray(at, at + CARD)), key = card.slice(0, 8).trim();
    if (key === "END") return { header, end: start + Math.ceil((at + CARD - start) / BLOCK) * BLOCK };
    if (card[8] === "=" && card[9] === " ") header[key] = fitsValue(card.slice(10));
  }
  throw new Error("The FITS header has no end: the file is damaged or cut off. Fetch it again.");
}

function fitsValue(text) {
  const quoted = /^\s*'((?:[^']|'')*)'/.exec(text);
  if (quoted) return quoted[1].replaceAll("''", "'").trimEnd();
  const word = text.split("/")[0].trim();
  if (word === "T" || word === "F") return word === "T";
  return word !== "" && Number.isFinite(+word.replace(/[dD]/, "e")) ? +word.replace(/[dD]/, "e") : word;
}

/** The first table with a wavelength and a flux as {columns, units, said}: cells of a row side by side. */
function fitsTable(bytes) {
  const parts = fitsParts(bytes), tables = parts.filter((part) => part.header.XTENSION === "BINTABLE" && part.header.NAXIS2 > 0);
  if (!tables.length) throw new Error(`This FITS file holds no table, but images. ${OTHERWISE}`);
  const found = tables.map((part) => fitsColumns(bytes, part, parts[0].header));
  return found.find((table) => roleOf("flux", table) && waveOf(table)) ?? found[0];
}

function fitsColumns(bytes, { header, start, size }, primary) {
  const columns = Object.create(null), units = Object.create(null), rows = header.NAXIS2;
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, size);
  let offset = 0;
  for (let i = 1; i <= (header.TFIELDS ?? 0); i++) {
    const form = /^(\d*)([A-Z])/.exec(header[`TFORM${i}`] ?? ""), name = String(header[`TTYPE${i}`] ?? i).trim();
    if (!form) throw new Error(`FITS: column ${i} has no TFORM; the file is damaged.`);
    const repeat = form[1] === "" ? 1 : +form[1], letter = form[2], width = CELLS[letter]?.[0] ?? WIDTHS[letter];
    if (width === undefined) throw new Error(`FITS: the format ${form[0]} of column '${name}' is not known.`);
    if (CELLS[letter] && repeat > 0) columns[name] = fitsCells(view, { rows, step: header.NAXIS1, offset, repeat, letter }, header, i);
    if (letter === "A") columns[name] = fitsTexts(bytes.subarray(start, start + size), rows, header.NAXIS1, offset, repeat);
    if (header[`TUNIT${i}`]) units[name] = String(header[`TUNIT${i}`]);
    offset += Math.ceil(repeat * width);
  }
  return { columns, units, said: saidBy({ ...primary, ...header }), named: true };
}

function fitsCells(view, { rows, step, offset, repeat, letter }, header, i) {
  const [width, read] = CELLS[letter], values = new Float64Array(rows * repeat);
  const scale = header[`TSCAL${i}`] ?? 1, zero = header[`TZERO${i}`] ?? 0, none = header[`TNULL${i}`];
  if (offset + repeat * width > step || (rows - 1) * step + offset + repeat * width > view.byteLength) {
    throw new Error("FITS: the columns are wider than the rows; the file is damaged.");
  }
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < repeat; k++) {
      const raw = read(view, row * step + offset + k * width);
      values[row * repeat + k] = raw === none && !"DE".includes(letter) ? NaN : raw * scale + zero;
    }
  }
  return Object.assign(values, { cell: repeat });
}

function fitsTexts(bytes, rows, step, offset, width) {
  const text = new TextDecoder("latin1");
  return Array.from({ length: rows }, (_, row) => text.decode(bytes.subarray(row * step + offset, row * step + offset + width)).replace(/\0.*$/s, "").trim());
}
