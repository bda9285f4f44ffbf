// The answer: the decision as it forms, what the network saw, its spikes and its energy.
import { html, useEffect, useState } from "../lib.js";
import { count, duration, percent } from "../format.js";
import { Decision, settledAt } from "./decision.js";
import { Seen } from "./seen.js";
import { Raster } from "./raster.js";
import { SpikeTable } from "./spike-table.js";
import { EnergyPanel } from "./energy.js";

const FRAME_MS = 450;

/** @param {{answer: any, labels: string[] | null, card: any}} props */
export function Answer({ answer, labels, card }) {
  const prediction = answer.predictions[0];
  const steps = prediction.timesteps.length;
  const names = card?.labels ?? labels ?? [];
  const [step, setStep] = useState(steps - 1);
  const [playing, setPlaying] = useState(false);

  useEffect(() => {
    if (!playing) return undefined;
    const timer = setInterval(() => setStep((before) => Math.min(before + 1, steps - 1)), FRAME_MS);
    return () => clearInterval(timer);
  }, [playing]);
  useEffect(() => {
    if (step >= steps - 1) setPlaying(false);
  }, [step]);

  function play() {
    setStep(0);
    setPlaying(true);
  }

  const settled = settledAt(prediction.timesteps, card?.timesteps ?? card?.encoder?.timesteps ?? steps);
  return html`
    <section class="card headline" aria-label="Decision">
      <div>
        <p class="quiet small">The network says</p>
        <p class="verdict" data-testid="label">${prediction.label}</p>
        <p class="quiet small">its ${names.length ? "voters fired at" : "score is"} <b>${percent(prediction.score)}</b> of what they could;
          ${" "}${count(prediction.spikes.total)} spikes; ${duration(answer.timing.compute_ms)} of computing</p>
      </div>
      <div class="time">
        <label for="step">Time step <b>${step + 1}</b> of ${steps}</label>
        <input id="step" type="range" min="0" max=${steps - 1} value=${step} list="settled"
          onInput=${(/** @type {any} */ event) => (setPlaying(false), setStep(Number(event.target.value)))} />
        <button onClick=${play} aria-label="Play the time steps">${playing ? "…" : "▶ Play"}</button>
        <p class="quiet small">${settled < steps - 1
          ? html`It could have stopped after step <b>${settled + 1}</b>: no later vote could change it.`
          : "The decision was open until the last step."}</p>
      </div>
    </section>
    <div class="pair">
      <${Decision} steps=${prediction.timesteps} step=${step} names=${names} />
      <${Seen} input=${prediction.input} preprocessing=${prediction.preprocessing} step=${step} card=${card} />
    </div>
    <${Raster} layers=${prediction.raster} step=${step} onStep=${setStep} />
    <${SpikeTable} raster=${prediction.raster} spikes=${prediction.spikes} step=${step} />
    <${EnergyPanel} energy=${prediction.energy} card=${card} />
  `;
}
