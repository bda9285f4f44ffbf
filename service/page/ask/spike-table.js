// How many spikes each layer fired at each time step.
import { html } from "../lib.js";
import { count, percent } from "../format.js";
import { Bar } from "./decision.js";

/** @param {{raster?: any[], spikes: any, step: number}} props */
export function SpikeTable({ raster, spikes, step }) {
  if (!raster) return null;
  const steps = raster[0]?.steps.length ?? 0;
  const rates = Object.fromEntries((spikes.layers ?? []).map((/** @type {any} */ each) => [each.name, each.firing_rate]));
  const share = (/** @type {any} */ layer, /** @type {number} */ t) => layer.steps[t].length / layer.neurons;
  const most = Math.max(1e-9, ...raster.flatMap((layer) => layer.steps.map((/** @type {number[]} */ _, /** @type {number} */ t) => share(layer, t))));
  return html`
    <section class="card">
      <h2>Spikes by layer and time step</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Spikes by layer and time step">
        <table>
          <thead><tr><th scope="col">Layer</th>${Array.from({ length: steps }, (_, t) => html`<th scope="col" class=${t === step ? "now" : ""}>${t + 1}</th>`)}<th scope="col">All</th><th scope="col">Rate</th></tr></thead>
          <tbody>
            ${raster.map((layer) => html`<tr>
              <th scope="row">${layer.layer}</th>
              ${layer.steps.map((/** @type {number[]} */ fired, /** @type {number} */ t) => html`<td class=${t === step ? "now" : ""}><${Bar} share=${share(layer, t) / most} kind="thin" />${count(fired.length)}</td>`)}
              <td><b>${count(layer.steps.reduce((/** @type {number} */ sum, /** @type {number[]} */ fired) => sum + fired.length, 0))}</b></td>
              <td>${rates[layer.layer] === undefined ? "" : percent(rates[layer.layer], 1)}</td>
            </tr>`)}
          </tbody>
          <tfoot><tr><th scope="row">all layers</th>${(spikes.timesteps ?? []).map((/** @type {number} */ total, /** @type {number} */ t) => html`<td class=${t === step ? "now" : ""}>${count(total)}</td>`)}<td><b>${count(spikes.total)}</b></td><td>${percent(spikes.per_neuron_per_step, 1)}</td></tr></tfoot>
        </table>
      </div>
      <p class="quiet small">Bars: the share of the layer’s neurons that fired. Rate: spikes per neuron and time step. The input has ${count(spikes.input)} non-zero values.</p>
    </section>
  `;
}
