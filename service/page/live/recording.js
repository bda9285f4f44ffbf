// Recordings that the page itself can read, to replay them.

/** Events as columns; times in µs.
 * @typedef {{t: number[], x: number[], y: number[], p: number[]}} Events */

const RECORD = 5;

/** The 40-bit records of N-MNIST: x, y, then polarity and time.
 * @param {Uint8Array} bytes @returns {Events} */
function nmnist(bytes) {
  if (bytes.length % RECORD) throw new Error(`The file has ${bytes.length} bytes, which is not a whole number of events of ${RECORD} bytes.`);
  /** @type {Events} */
  const events = { t: [], x: [], y: [], p: [] };
  for (let i = 0; i < bytes.length; i += RECORD) {
    events.x.push(bytes[i]);
    events.y.push(bytes[i + 1]);
    events.p.push(bytes[i + 2] >> 7);
    events.t.push(((bytes[i + 2] & 127) << 16) | (bytes[i + 3] << 8) | bytes[i + 4]);
  }
  return events;
}

/** @param {string} text @returns {Events} */
function csv(text) {
  const [head, ...lines] = text.trim().split(/\r?\n/);
  const names = head.split(",").map((each) => each.trim());
  /** @type {any} */
  const events = { t: [], x: [], y: [], p: [] };
  for (const name of Object.keys(events)) if (!names.includes(name)) throw new Error(`The first line does not name the column ${name}; it must name t, x, y and p.`);
  lines.forEach((line, number) => {
    const values = line.split(",").map(Number);
    if (values.length !== names.length || values.some(Number.isNaN)) throw new Error(`Line ${number + 2} is not an event.`);
    names.forEach((name, i) => events[name]?.push(values[i]));
  });
  return events;
}

/** @param {ArrayBuffer} data @param {string} name @returns {Events} */
export function parseRecording(data, name) {
  const events = /\.csv$/i.test(name) ? csv(new TextDecoder().decode(data)) : /\.bin$/i.test(name) ? nmnist(new Uint8Array(data)) : null;
  if (!events) throw new Error(`The page replays .bin of N-MNIST and .csv; “${name}” is neither. The view Ask takes more formats.`);
  if (!events.t.length) throw new Error("The recording has no events.");
  return events;
}
