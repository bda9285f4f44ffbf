// Prometheus' text format, and what happened between two readings of it.

/** @typedef {{name: string, labels: Record<string, string>, value: number}} Metric */

const LINE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const PREDICT = "/v1/models/{name}/predict";

/** @param {string} text @returns {Metric[]} */
export function read(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : LINE.exec(line);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
    found.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return found;
}

/** @param {Metric[]} metrics @param {string} name @param {(labels: Record<string, string>) => boolean} [of] */
const sum = (metrics, name, of = () => true) =>
  metrics.reduce((total, each) => (each.name === name && of(each.labels) ? total + each.value : total), 0);

/** The number of observations up to each bound between two readings.
 * @param {Metric[]} before @param {Metric[]} after @param {string} name */
function buckets(before, after, name) {
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (const [metrics, sign] of /** @type {[Metric[], number][]} */ ([[before, -1], [after, 1]]))
    for (const each of metrics)
      if (each.name === `${name}_bucket` && each.labels.route === PREDICT) {
        const bound = each.labels.le === "+Inf" ? Infinity : Number(each.labels.le);
        counts.set(bound, (counts.get(bound) ?? 0) + sign * each.value);
      }
  return [...counts].sort(([a], [b]) => a - b);
}

/** The value below which a share of the observations lies, within its bucket by proportion; null without any.
 * @param {[number, number][]} cumulative @param {number} share */
export function quantile(cumulative, share) {
  const total = cumulative.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  let [low, below] = [0, 0];
  for (const [bound, upTo] of cumulative) {
    if (upTo >= share * total) return bound === Infinity ? low : low + ((bound - low) * (share * total - below)) / Math.max(1, upTo - below);
    [low, below] = [bound, upTo];
  }
  return low;
}

/** What happened in `seconds` between two readings.
 * @param {Metric[]} before @param {Metric[]} after @param {number} seconds */
export function sample(before, after, seconds) {
  /** @param {string} name @param {(labels: Record<string, string>) => boolean} [of] */
  const rate = (name, of) => Math.max(0, sum(after, name, of) - sum(before, name, of)) / seconds;
  const batches = rate("snn_batch_size_count");
  const times = buckets(before, after, "snn_request_duration_seconds");
  const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)];
  return {
    predictions: rate("snn_predictions_total"),
    p50: p50 === null ? null : p50 * 1000,
    p99: p99 === null ? null : p99 * 1000,
    batch: batches ? rate("snn_batch_size_sum") / batches : null,
    queue: sum(after, "snn_queue_depth"),
    refused: rate("snn_requests_total", (labels) => labels.status === "429" || labels.status === "503"),
    spikes: rate("snn_spikes_total"),
    energy: rate("snn_energy_estimate_joules_total") * 1e9,
  };
}
