// Now: the last minutes of the service, from its metrics, in curves.
import { html, useEffect, useState } from "../lib.js";
import { call } from "../api.js";
import { count, duration, energy } from "../format.js";
import { Curve } from "../curve.js";
import { read, sample } from "./metrics.js";

const EVERY_MS = 2000;
const KEPT = 150; // five minutes

/** @typedef {ReturnType<typeof sample>} Sample */

/** @type {[string, keyof Sample, (value: number) => string][]} */
const CURVES = [
  ["Predictions a second", "predictions", (value) => value.toFixed(value < 10 ? 1 : 0)],
  ["Time of a request, p50", "p50", duration],
  ["Time of a request, p99", "p99", duration],
  ["Inputs in a batch", "batch", (value) => value.toFixed(1)],
  ["Requests that wait", "queue", count],
  ["Refused a second", "refused", (value) => value.toFixed(1)],
  ["Spikes a second", "spikes", count],
  ["Energy a second in nJ, estimate", "energy", energy],
];

/** @param {{models: any[]}} props */
export function Now({ models }) {
  const [samples, setSamples] = useState(/** @type {Sample[]} */ ([]));
  const [jobs, setJobs] = useState(/** @type {Record<string, number>} */ ({}));
  const [error, setError] = useState("");

  useEffect(() => {
    let before = /** @type {{at: number, found: ReturnType<typeof read>} | null} */ (null);
    async function look() {
      try {
        const found = read(await (await call("/metrics")).text());
        const at = performance.now() / 1000;
        if (before) {
          const next = sample(before.found, found, at - before.at);
          setSamples((all) => [...all, next].slice(-KEPT));
        }
        before = { at, found };
        setJobs(Object.fromEntries(found.filter((each) => each.name === "snn_jobs").map((each) => [each.labels.status, each.value])));
        setError("");
      } catch (failure) {
        setError(/** @type {Error} */ (failure).message);
      }
    }
    look();
    const timer = setInterval(look, EVERY_MS);
    return () => clearInterval(timer);
  }, []);

  const last = samples.at(-1);
  const ready = models.flatMap((model) => model.versions).filter((version) => version.state === "ready").length;
  return html`
    <h1>Now</h1>
    ${error && html`<p class="notice bad" role="alert">${error}</p>`}
    <p class="quiet">The last minutes, every ${EVERY_MS / 1000} seconds, for as long as this view is open. ${ready} versions are in memory.
      ${" "}Jobs: ${["queued", "running", "succeeded", "failed", "cancelled"].map((status) => `${count(jobs[status] ?? 0)} ${status}`).join(", ")}.</p>
    <div class="grid">
      ${CURVES.map(([title, field, words]) => html`
        <section class="card tile">
          <h2>${title}</h2>
          <p class="figure" data-testid=${field}>${last && last[field] !== null ? words(/** @type {number} */ (last[field])) : "–"}</p>
          <${Curve} label=${title} x=${samples.map((_, i) => (i - samples.length + 1) * (EVERY_MS / 1000))} lines=${[{ name: title, values: samples.map((each) => each[field]) }]} unit="s" />
        </section>`)}
    </div>
  `;
}
