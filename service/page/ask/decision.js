// The classes' scores, up to the time step that the slider shows.
import { html } from "../lib.js";
import { percent } from "../format.js";

const MOST = 10;

/** @typedef {{step: number, class_id: number, score: number, scores: number[]}} TimeStep */

/** The mean of each class's scores up to and with a step.
 * @param {TimeStep[]} steps @param {number} last @returns {number[]} */
export function scoresUpTo(steps, last) {
  const sums = steps[0].scores.map(() => 0);
  for (const { scores } of steps.slice(0, last + 1)) scores.forEach((score, k) => (sums[k] += score));
  return sums.map((sum) => sum / (last + 1));
}

/** The first step after which no later vote can change the decision.
 * @param {TimeStep[]} steps @param {number} whole how many steps the model has */
export function settledAt(steps, whole) {
  for (let last = 0; last < steps.length; last++) {
    const sums = scoresUpTo(steps, last).map((mean) => mean * (last + 1)).sort((a, b) => b - a);
    if (sums[0] - (sums[1] ?? 0) > whole - last - 1 + 1e-9) return last;
  }
  return steps.length - 1;
}

/** @param {{steps: TimeStep[], step: number, names: string[]}} props */
export function Decision({ steps, step, names }) {
  const scores = scoresUpTo(steps, step);
  const final = scoresUpTo(steps, steps.length - 1);
  const shown = final.map((score, k) => ({ score, k })).sort((a, b) => b.score - a.score || a.k - b.k).slice(0, MOST);
  shown.sort((a, b) => a.k - b.k);
  const leader = scores.indexOf(Math.max(...scores));
  return html`
    <section class="card">
      <h2>Decision so far</h2>
      <ul class=${`bars ${names.every((each) => each.length < 4) ? "short" : ""}`} aria-label=${`Scores after time step ${step + 1}`}>
        ${shown.map(({ k }) => html`
          <li class=${k === leader ? "leads" : ""}>
            <span class="name">${names[k] ?? k}</span>
            <${Bar} share=${scores[k]} />
            <span class="value">${percent(scores[k])}</span>
          </li>`)}
      </ul>
      ${final.length > MOST && html`<p class="quiet small">The ${MOST} best of ${final.length} classes.</p>`}
    </section>
  `;
}

/** A bar that a style sheet's rules about inline styles do not concern: its length is an attribute of SVG.
 * @param {{share: number, kind?: string}} props */
export const Bar = ({ share, kind = "" }) => html`
  <svg class=${`bar ${kind}`} viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
    <rect class="track" width="100" height="10" />
    <rect class="fill" width=${Math.max(0, Math.min(100, 100 * share))} height="10" />
  </svg>
`;
