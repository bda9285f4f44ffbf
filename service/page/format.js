// Numbers as people read them.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** @param {number} value */
export const count = (value) => WHOLE.format(value);

/** @param {number} share @param {number} [digits] */
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;

/** An energy given in nanojoules.
 * @param {number} nj */
export function energy(nj) {
  if (nj >= 1e6) return `${short(nj / 1e6)} mJ`;
  if (nj >= 1e3) return `${short(nj / 1e3)} µJ`;
  return `${short(nj)} nJ`;
}

/** An estimate in nanojoules, which may be a range.
 * @param {number | {low_nj: number, high_nj: number}} estimate */
export function estimate(estimate) {
  if (typeof estimate === "number") return energy(estimate);
  return `${energy(estimate.low_nj)} to ${energy(estimate.high_nj)}`;
}

/** Three significant digits.
 * @param {number} value */
export const short = (value) => (value === 0 ? "0" : Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 }));

/** @param {number} milliseconds */
export const duration = (milliseconds) =>
  milliseconds < 1000 ? `${short(milliseconds)} ms` : `${short(milliseconds / 1000)} s`;

/** @param {number} bytes */
export const bytes = (bytes) =>
  bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${short(bytes / 1e3)} kB` : `${short(bytes / 1e6)} MB`;

/** @param {number | null} seconds Unix time */
export const when = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "");
