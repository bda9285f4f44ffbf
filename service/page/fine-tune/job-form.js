// A new fine-tuning job.
import { html, useState } from "../lib.js";
import { send } from "../api.js";

const MODES = { stl: "weights and thresholds", sl: "weights", tl: "thresholds" };
const PROMOTE = { never: "when I say so", if_better: "if it is not worse", always: "always" };

/** The options of a select.
 * @param {Record<string, string>} words */
const options = (words) => Object.entries(words).map(([value, text]) => html`<option value=${value}>${text}</option>`);

/** @param {{models: any[], files: any[], onJob: (job: any) => void}} props */
export function JobForm({ models, files, onJob }) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const text = (/** @type {string} */ name) => String(form.get(name) ?? "").trim();
    const hyperparameters = {
      n_epochs: text("epochs") ? Number(text("epochs")) : "auto",
      learning_rate_multiplier: text("rate") ? Number(text("rate")) : "auto",
      learning_mode: text("mode"),
    };
    setBusy(true);
    try {
      onJob(await send("POST", "/v1/fine_tuning/jobs", {
        model: text("model"),
        training_file: text("file"),
        promote: text("promote"),
        suffix: text("suffix") || null,
        method: { type: "supervised", supervised: { hyperparameters } },
      }));
      setError("");
    } catch (failure) {
      setError(/** @type {Error} */ (failure).message);
    }
    setBusy(false);
  }

  return html`
    <form class="card" onSubmit=${submit} aria-label="New job">
      <h2>New job</h2>
      <label>Model<select name="model">${models.map((each) => html`<option value=${each.name}>${each.name}, version ${each.default_version}</option>`)}</select></label>
      <label>Data set<select name="file" required>${files.map((each) => html`<option value=${each.id}>${each.filename}</option>`)}</select></label>
      <div class="row">
        <label>Epochs<input name="epochs" type="number" min="1" max="1000" placeholder="auto" /></label>
        <label>Learning rate ×<input name="rate" type="number" min="0" max="100" step="any" placeholder="auto" /></label>
      </div>
      <label>What learns<select name="mode">${options(MODES)}</select></label>
      <label>Becomes the default<select name="promote">${options(PROMOTE)}</select></label>
      <label>Suffix of the model’s name<input name="suffix" placeholder="none: the model’s next version" /></label>
      ${error && html`<p class="notice bad" role="alert">${error}</p>`}
      <button class="primary" disabled=${busy || files.length === 0}>Start</button>
    </form>
  `;
}
