// Energy by layer beside the same structure as a conventional network, and all estimates.
import { html } from "../lib.js";
import { count, energy as joules, estimate, percent, short } from "../format.js";
import { Bar } from "./decision.js";

/** What a conventional network's layer costs, from the dense operations in the card.
 * @param {any} energy @param {any} card @returns {Record<string, number>} */
function conventional(energy, card) {
  const dense = (card?.layers ?? []).filter((/** @type {any} */ layer) => layer.dense_macs > 0);
  const sum = dense.reduce((/** @type {number} */ total, /** @type {any} */ layer) => total + layer.dense_macs, 0);
  return Object.fromEntries(dense.map((/** @type {any} */ layer) => [layer.name, (energy.ann_equivalent_nj * layer.dense_macs) / sum]));
}

/** @param {{energy: any, card: any}} props */
export function EnergyPanel({ energy, card }) {
  const beside = conventional(energy, card);
  const most = Math.max(1e-12, ...energy.layers.flatMap((/** @type {any} */ layer) => [layer.estimate_nj, beside[layer.name] ?? 0]));
  return html`
    <section class="card">
      <h2>Energy, estimate</h2>
      <p class="sums"><b>${joules(energy.estimate_nj)}</b> here,
        ${" "}<b>${joules(energy.ann_equivalent_nj)}</b> as a conventional network of the same structure${energy.ratio === null ? "" : html` (${percent(energy.ratio)} of it)`}.
        <span class="quiet small"> Both are estimates of the arithmetic alone, profile ${energy.profile}, from ${count(energy.accumulates)} accumulates and ${count(energy.multiply_accumulates)} multiply-accumulates.</span></p>
      <ul class="energy" aria-label="Estimated energy by layer">
        ${energy.layers.map((/** @type {any} */ layer) => html`<li>
          <span class="name">${layer.name}</span>
          <span class="two">
            <span><${Bar} share=${layer.estimate_nj / most} /><span class="value">${joules(layer.estimate_nj)}</span></span>
            ${layer.name in beside && html`<span><${Bar} share=${beside[layer.name] / most} kind="other" /><span class="value">${joules(beside[layer.name])}</span></span>`}
          </span>
        </li>`)}
      </ul>
      <p class="legend small"><span class="dot spike"></span> spiking, estimate <span class="dot other"></span> conventional, estimate</p>
      ${energy.synaptic_activity !== null && html`<p class="quiet small">A spike used ${percent(energy.synaptic_activity, 1)} of the synapses at a time step; below about ${percent(energy.crossover_activity, 1)}, a quantized conventional network would fetch more bits of weights.</p>`}
      <p class="quiet small">${energy.measured_mj === null ? "Measured energy: this machine’s counter gives none." : `Measured, its share of the batch: ${short(energy.measured_mj)} mJ.`}</p>
      ${energy.estimates && html`<${Estimates} estimates=${energy.estimates} />`}
    </section>
  `;
}

/** @param {{estimates: any[]}} props */
const Estimates = ({ estimates }) => html`
  <h3>All estimates</h3>
  <div class="scroll" tabindex="0" role="region" aria-label="All estimates of energy">
    <table class="left">
      <thead><tr><th scope="col">Estimator</th><th scope="col">This network</th><th scope="col">Conventional networks</th></tr></thead>
      <tbody>
        ${estimates.map((each) => html`<tr>
          <th scope="row">${each.estimator}<br /><span class="quiet small">${each.profile}</span></th>
          <td>${estimate(each.estimate_nj)} <span class="quiet small">estimate</span></td>
          <td>${each.conventional.map((/** @type {any} */ other) => html`<div>${estimate(other.estimate_nj)} <span class="quiet small">estimate, ${other.network}, ${other.bits} bits</span></div>`)}</td>
        </tr>`)}
      </tbody>
    </table>
  </div>
  <details>
    <summary>What each estimate assumes</summary>
    ${estimates.map((each) => html`<h4>${each.estimator}</h4><ul>${each.assumptions.map((/** @type {string} */ line) => html`<li>${line}</li>`)}</ul>`)}
  </details>
  <p class="quiet small">Numbers of different estimators cannot be compared with each other.</p>
`;
