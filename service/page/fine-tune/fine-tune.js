// Fine-tune: upload a data set, start a job, watch it learn, and compare what came out.
import { html, useEffect, useState } from "../lib.js";
import { get } from "../api.js";
import { when } from "../format.js";
import { Upload } from "./upload.js";
import { JobForm } from "./job-form.js";
import { Job } from "./job.js";

const EVERY_MS = 3000;

/** @param {{models: any[], reload: () => Promise<void>}} props */
export function FineTune({ models, reload }) {
  const [files, setFiles] = useState(/** @type {any[]} */ ([]));
  const [jobs, setJobs] = useState(/** @type {any[]} */ ([]));
  const [chosen, setChosen] = useState("");
  const [error, setError] = useState("");

  async function look() {
    try {
      const [some, all] = await Promise.all([get("/v1/files?limit=100"), get("/v1/fine_tuning/jobs?limit=20")]);
      setFiles(some.data);
      setJobs(all.data);
      setError("");
    } catch (failure) {
      setError(/** @type {Error} */ (failure).message);
    }
  }
  useEffect(() => {
    look();
    const timer = setInterval(look, EVERY_MS);
    return () => clearInterval(timer);
  }, []);

  /** @param {any} job */
  function started(job) {
    setJobs((before) => [job, ...before.filter((each) => each.id !== job.id)]);
    setChosen(job.id);
  }

  const job = jobs.find((each) => each.id === chosen) ?? jobs[0];
  return html`
    <h1>Fine-tune</h1>
    ${error && html`<p class="notice bad" role="alert">${error}</p>`}
    <div class="split">
      <div class="answer">
        <${Upload} onUploaded=${look} files=${files} />
        <${JobForm} models=${models} files=${files} onJob=${started} />
        <nav class="card list" aria-label="Jobs">
          <h2>Jobs</h2>
          ${jobs.length === 0 && html`<p class="quiet small">There are none yet.</p>`}
          <ul>${jobs.map((each) => html`<li>
            <button class="version" aria-pressed=${each.id === job?.id} onClick=${() => setChosen(each.id)}>
              <span>${each.model}</span><span></span><span class=${`state ${each.status}`}>${each.status}</span><span class="quiet small">${when(each.created_at).split(", ").pop()}</span>
            </button></li>`)}</ul>
        </nav>
      </div>
      <div class="answer">
        ${job
          ? html`<${Job} key=${job.id} id=${job.id} first=${job} models=${models} reload=${async () => { await Promise.all([reload(), look()]); }} />`
          : html`<div class="empty"><p>Upload a data set and start a job.</p><p class="quiet">Its loss, accuracy and spikes appear here while it learns.</p></div>`}
      </div>
    </div>
  `;
}
