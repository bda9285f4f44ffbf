// The base and the new version, side by side on an input of yours.
import { html, useRef, useState } from "../lib.js";
import { call, modelPath } from "../api.js";
import { count, energy, percent } from "../format.js";
import { examplesFor } from "../ask/examples.js";

/** @typedef {import("../ask/ask.js").Question} Question */

/** @param {string} reference name/version @param {Question} question */
async function ask(reference, question) {
  const [name, version] = reference.split("/");
  const kind = question.kind === "image" ? question.blob.type || "image/png" : "application/octet-stream";
  const path = `${modelPath(name)}/predict?version=${version}&detail=layers`;
  const response = await call(path, { method: "POST", body: question.blob, headers: { "Content-Type": kind } });
  return (await response.json()).predictions[0];
}

/** @param {{base: string, tuned: string, models: any[]}} props */
export function Compare({ base, tuned, models }) {
  const picker = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [found, setFound] = useState(/** @type {any[]} */ ([]));
  const [error, setError] = useState("");
  const name = base.split("/")[0];
  const input = models.find((each) => each.name === name)?.versions[0]?.input;

  /** @param {Promise<Question> | Question} question */
  async function take(question) {
    try {
      const asked = await question;
      setFound(await Promise.all([base, tuned].map((each) => ask(each, asked))));
      setError("");
    } catch (failure) {
      setError(/** @type {Error} */ (failure).message);
    }
  }

  return html`
    <section class="card" aria-label="Comparison">
      <h2>Side by side</h2>
      <div class="row">
        ${examplesFor(name, input).map((each) => html`<button onClick=${() => take(each.load())}>${each.label}</button>`)}
        <button onClick=${() => picker.current?.click()}>A file of yours …</button>
        <input ref=${picker} type="file" hidden tabindex="-1" aria-label="File" onChange=${(/** @type {any} */ event) => {
          const file = event.target.files?.[0];
          if (file) take({ blob: file, name: file.name, kind: input?.kind === "events" ? "events" : "image", label: file.name });
          event.target.value = "";
        }} />
      </div>
      ${error && html`<p class="notice bad" role="alert">${error}</p>`}
      ${found.length > 0 && html`
        <div class="scroll" tabindex="0" role="region" aria-label="Base and new version">
          <table class="left">
            <thead><tr><th scope="col">Version</th><th scope="col">Says</th><th scope="col">Score</th><th scope="col">Spikes</th><th scope="col">Energy, estimate</th></tr></thead>
            <tbody>${[base, tuned].map((each, i) => html`<tr><th scope="row">${each}</th><td><b>${found[i].label}</b></td><td>${percent(found[i].score)}</td><td>${count(found[i].spikes.total)}</td><td>${energy(found[i].energy.estimate_nj)}</td></tr>`)}</tbody>
          </table>
        </div>`}
    </section>
  `;
}
