// A version's card, in words and pictures.
import { html } from "../lib.js";
import { count, energy, percent, short } from "../format.js";
import { Bar } from "../ask/decision.js";

/** @param {any} card */
function words(card) {
  const { input, encoder, metrics, learning } = card;
  const what = input.kind === "events" ? `event recordings of ${input.width} × ${input.height} pixels` : `images of ${input.width} × ${input.height} pixels${input.channels === 3 ? " in colour" : ""}`;
  const coding = { poisson: "pixels fire at random, the brighter the more often", direct: "pixel values are the input of each step" };
  const how = input.kind === "events" ? (encoder.step_us ? `steps of ${short(encoder.step_us / 1000)} ms` : "the recording in equal parts") : /** @type {any} */ (coding)[encoder.coding];
  return [
    ["Input", what],
    ["Time", `${encoder.timesteps} time steps; ${how}`],
    ["Classes", `${card.labels.length}: ${card.labels.slice(0, 12).join(", ")}${card.labels.length > 12 ? " …" : ""}`],
    ["Network", `${card.network}; ${count(card.layers.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + each.neurons, 0))} neurons, ${card.voters} voters a class`],
    ["Learning", learningWords(learning)],
    ["Accuracy", `${percent(metrics.accuracy, 2)} on ${count(metrics.samples)} test samples${metrics.validation_accuracy ? `, ${percent(metrics.validation_accuracy, 2)} on ${count(metrics.validation_samples)} for validation` : ""}`],
    ["An answer", `${count(metrics.spikes_per_sample)} spikes and ${count(metrics.synops_per_sample)} synaptic operations; ${energy(metrics.energy_nj_per_sample)}, estimate (${metrics.energy_profile})`],
  ];
}

/** @param {any} learning */
function learningWords(learning) {
  const mode = { stl: "weights and thresholds together", sl: "weights alone", tl: "thresholds alone" }[/** @type {"stl"} */ (learning.mode)] ?? learning.mode;
  return `${mode}${learning.epochs ? `, ${learning.epochs} epochs` : ""}${learning.dataset ? ` of ${learning.dataset}` : ""}`;
}

/** @param {{card: any}} props */
export function Card({ card }) {
  const rates = Object.entries(card.metrics.firing_rate);
  const most = Math.max(1e-9, ...rates.map(([, rate]) => /** @type {number} */ (rate)));
  return html`
    <section class="card">
      <h2>Card</h2>
      <dl>${words(card).map(([name, text]) => html`<dt>${name}</dt><dd>${text}</dd>`)}</dl>
    </section>
    <section class="card">
      <h2>Firing rates</h2>
      <ul class="bars">
        ${rates.map(([name, rate]) => html`<li><span class="name">${name}</span><${Bar} share=${/** @type {number} */ (rate) / most} /><span class="value">${percent(/** @type {number} */ (rate), 1)}</span></li>`)}
      </ul>
      <p class="quiet small">Spikes per neuron and time step, mean over the test samples.</p>
    </section>
    <section class="card">
      <h2>Thresholds before and after learning</h2>
      ${card.statistics
        ? html`<div class="grid">${card.statistics.map((/** @type {any} */ each) => html`<${Thresholds} statistics=${each} />`)}</div>
            <p class="legend small"><span class="dot other"></span> before <span class="dot spike"></span> after</p>`
        : html`<p class="quiet small">This card has none: it is of an earlier release.</p>`}
    </section>
  `;
}

/** @param {{statistics: any}} props */
function Thresholds({ statistics }) {
  const { low, high, before, after } = statistics.histogram;
  const most = Math.max(1, ...before, ...after);
  const width = 100 / after.length;
  const bar = (/** @type {number} */ value, /** @type {number} */ i, /** @type {string} */ kind) =>
    html`<rect class=${kind} x=${i * width} y=${60 - (58 * value) / most} width=${Math.max(0.3, width - 0.4)} height=${(58 * value) / most} />`;
  return html`
    <figure>
      <figcaption class="small"><b>${statistics.layer}</b> <span class="quiet">mean ${short(statistics.mean)}, ${percent(statistics.not_positive, 1)} not above zero</span></figcaption>
      <svg class="histogram" viewBox="0 0 100 60" preserveAspectRatio="none" role="img"
        aria-label=${`Thresholds of ${statistics.layer} from ${short(low)} to ${short(high)}: mean ${short(statistics.mean)}, deviation ${short(statistics.std)} after learning`}>
        ${before.map((/** @type {number} */ value, /** @type {number} */ i) => bar(value, i, "before"))}
        ${after.map((/** @type {number} */ value, /** @type {number} */ i) => bar(value, i, "after"))}
      </svg>
      <p class="axis quiet small"><span>${short(low)}</span><span>${short(high)}</span></p>
      <p class="quiet small">${count(statistics.silent)} silent, ${count(statistics.saturated)} saturated neurons on ${count(statistics.samples)} samples</p>
    </figure>
  `;
}
