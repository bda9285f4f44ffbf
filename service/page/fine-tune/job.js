// One job: its state, its curves while it runs, and what to do with it.
import { html, useEffect, useState } from "../lib.js";
import { ApiError, modelPath, send } from "../api.js";
import { count, percent, short } from "../format.js";
import { Curve } from "../curve.js";
import { messages } from "./events.js";
import { Compare } from "./compare.js";

const AGAIN_MS = 2000;
const ENDED = ["succeeded", "failed", "cancelled"];

/** Follows the events of a job, and connects again where the stream breaks off.
 * @param {string} id @param {number} round another number begins anew @param {(job: any) => void} onJob */
function useEvents(id, round, onJob) {
  const [events, setEvents] = useState(/** @type {any[]} */ ([]));
  useEffect(() => {
    const ended = new AbortController();
    let [last, status] = ["", ""];
    async function follow() {
      setEvents([]);
      while (!ended.signal.aborted && !ENDED.includes(status)) {
        try {
          for await (const { id: number, event, data } of messages(`/v1/fine_tuning/jobs/${id}/events`, last, ended.signal)) {
            if (event === "fine_tuning.job") onJob(data), (status = data.status);
            else (last = number), setEvents((before) => [...before, data]);
          }
        } catch (error) {
          const refused = error instanceof ApiError ? error.status : 0;
          if (refused >= 400 && refused < 429) return; // otherwise the service was restarted, or is busy
        }
        if (!ENDED.includes(status)) await new Promise((done) => setTimeout(done, AGAIN_MS));
      }
    }
    follow();
    return () => ended.abort();
  }, [id, round]);
  return events;
}

/** @param {{id: string, first: any, models: any[], reload: () => Promise<void>}} props */
export function Job({ id, first, models, reload }) {
  const [job, setJob] = useState(first);
  const [round, setRound] = useState(0);
  const [message, setMessage] = useState({ text: "", bad: false });
  const events = useEvents(id, round, (next) => (setJob(next), ENDED.includes(next.status) && reload()));
  useEffect(() => setJob(first), [first]); // the list is read every few seconds; the stream tells of the status alone
  const epochs = events.filter((each) => each.type === "metrics").map((each) => each.data);

  /** @param {() => Promise<any>} work @param {string} done */
  async function act(work, done) {
    try {
      const next = await work();
      if (next.object === "fine_tuning.job") setJob(next);
      setMessage({ text: done, bad: false });
      setRound((before) => before + 1);
      await reload();
    } catch (error) {
      setMessage({ text: /** @type {Error} */ (error).message, bad: true });
    }
  }

  const [name, version] = (job.fine_tuned_model ?? "").split("/");
  const model = models.find((each) => each.name === name);
  const promote = () => send("PUT", `${modelPath(name)}/default`, { version: Number(version), expected: model?.default_version });
  const isDefault = model && model.default_version === Number(version);
  const { progress, metrics } = job;
  return html`
    <section class="card">
      <div class="row head">
        <h2 class="large">${job.model} <span class=${`state ${job.status}`} data-testid="status">${job.status}</span></h2>
        <div class="row">
          ${!ENDED.includes(job.status) && html`<button onClick=${() => act(() => send("POST", `/v1/fine_tuning/jobs/${id}/cancel`), "It is being cancelled.")}>Cancel</button>`}
          ${["failed", "cancelled"].includes(job.status) && html`<button onClick=${() => act(() => send("POST", `/v1/fine_tuning/jobs/${id}/resume`), "It goes on from its last saved state.")}>Resume</button>`}
          ${job.fine_tuned_model && html`<button class="primary" disabled=${isDefault} onClick=${() => act(promote, `${job.fine_tuned_model} now answers by default.`)}>${isDefault ? "Answers by default" : `Promote ${job.fine_tuned_model}`}</button>`}
        </div>
      </div>
      <label>Epoch ${progress.epoch} of ${progress.epochs}${job.queue_position ? `, number ${job.queue_position} in the queue` : ""}
        <progress value=${progress.steps ? progress.step / progress.steps : progress.epoch / progress.epochs} max="1"></progress></label>
      <p role="status" class=${message.bad ? "notice bad" : "notice"} hidden=${!message.text}>${message.text}</p>
      ${job.error && html`<p class="notice bad">${job.error.message}</p>`}
      <p class="quiet small">${[
        metrics.accuracy !== undefined && `accuracy ${percent(metrics.accuracy, 1)}`,
        metrics.baseline_accuracy !== undefined && `base version ${percent(metrics.baseline_accuracy, 1)}`,
        metrics.spikes_per_sample !== undefined && `${count(metrics.spikes_per_sample)} spikes a sample`,
        metrics.loss !== undefined && `loss ${short(metrics.loss)}`,
      ].filter(Boolean).join(", ") || "No numbers yet."}</p>
    </section>
    <div class="grid">
      ${/** @type {[string, string][]} */ ([["Loss in training", "loss"], ["Accuracy, validation", "accuracy"], ["Spikes a sample", "spikes_per_sample"]]).map(([title, field]) => html`
        <section class="card tile"><h2>${title}</h2>
          <${Curve} key=${`${field}/${round}`} label=${title} x=${epochs.map((each) => each.epoch)} lines=${[{ name: title, values: epochs.map((each) => each[field] ?? null) }]} />
        </section>`)}
    </div>
    ${job.fine_tuned_model && html`<${Compare} base=${job.model} tuned=${job.fine_tuned_model} models=${models} />`}
    <section class="card">
      <h2>Events</h2>
      <ol class="plain-list small">${events.slice(-30).reverse().map((each) => html`<li><span class="quiet">${new Date(each.created_at * 1000).toLocaleTimeString()}</span> ${each.message}</li>`)}</ol>
    </section>
  `;
}
