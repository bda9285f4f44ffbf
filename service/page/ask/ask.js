// Ask: one input, and everything that the network did with it.
import { html, useEffect, useMemo, useState } from "../lib.js";
import { call, modelPath } from "../api.js";
import { Inputs } from "./inputs.js";
import { Answer } from "./answer.js";
import { Snippets } from "./snippets.js";

/**
 * What is sent: a file, with the name and format that the service needs to read it.
 * @typedef {{blob: Blob, name: string, kind: "image" | "events", label: string}} Question
 */

const PREFERRED = "mnist-stl";

/** The models that can answer: those with a version that has not failed.
 * @param {any[]} models */
const answering = (models) => models.filter((model) => model.versions.some((/** @type {any} */ v) => v.state !== "failed"));

/** @param {any} model @param {number | null} number */
const versionOf = (model, number) =>
  model.versions.find((/** @type {any} */ each) => each.version === (number ?? model.default_version)) ?? model.versions[0];

/** The path of the request, as the page sends it and as the snippets show it.
 * @param {string} model @param {any} version @param {Question} question */
export function requestPath(model, version, question) {
  const query = new URLSearchParams({ version: String(version.version), detail: "raster", top_k: "all" });
  query.set("top_k", String(Math.min(version.labels?.length ?? 5, 1000)));
  if (!version.group) query.set("energy", "all");
  if (question.kind === "events") {
    const ending = question.name.split(".").pop()?.toLowerCase();
    if (ending === "bin") query.set("format", "nmnist");
  }
  return `${modelPath(model)}/predict?${query}`;
}

/** @param {{models: any[]}} props */
export function Ask({ models }) {
  const usable = useMemo(() => answering(models), [models]);
  const [name, setName] = useState(() => (usable.find((each) => each.name === PREFERRED) ?? usable[0])?.name ?? "");
  const [number, setNumber] = useState(/** @type {number | null} */ (null));
  const [question, setQuestion] = useState(/** @type {Question | null} */ (null));
  const [answer, setAnswer] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [busy, setBusy] = useState(false);

  const model = usable.find((each) => each.name === name);
  const version = model && versionOf(model, number);
  const fits = question && version && question.kind === (version.input?.kind ?? question.kind);

  useEffect(() => {
    setAnswer(null), setError(null);
    if (!question || !version || !fits) return undefined;
    const ended = new AbortController();
    setBusy(true);
    ask(name, version, question, ended.signal)
      .then(setAnswer, (failure) => failure.name !== "AbortError" && setError(failure))
      .finally(() => !ended.signal.aborted && setBusy(false));
    return () => ended.abort();
  }, [question, name, number]);

  if (!model) return html`<p class="notice">No model is ready. Put one into the model store; it appears here within seconds.</p>`;
  return html`
    <h1 class="hidden">Ask a spiking network</h1>
    <div class="ask">
      <section class="card question" aria-label="Question">
        <div class="row">
          <label>Model
            <select value=${name} onChange=${(/** @type {any} */ e) => (setName(e.target.value), setNumber(null), setQuestion(null))}>
              ${usable.map((each) => html`<option value=${each.name}>${each.name}</option>`)}
            </select>
          </label>
          <label>Version
            <select value=${String(version.version)} onChange=${(/** @type {any} */ e) => setNumber(Number(e.target.value))}>
              ${model.versions.map((/** @type {any} */ each) => html`
                <option value=${String(each.version)} disabled=${each.state === "failed"}>
                  ${each.version}${each.version === model.default_version ? " (default)" : ""}${each.state === "failed" ? " (failed)" : ""}
                </option>`)}
            </select>
          </label>
        </div>
        ${version.metrics && html`<p class="quiet small">
          ${version.task ?? "classification"} of ${version.input?.kind === "events" ? "event recordings" : "images"},
          ${" "}${version.input?.height} × ${version.input?.width}; ${(100 * version.metrics.accuracy).toFixed(1)} % right on ${version.metrics.samples} test samples</p>`}
        <${Inputs} key=${`${name}/${version.version}`} input=${version.input} model=${name} onQuestion=${setQuestion} />
      </section>
      <div class="answer" aria-live="polite" aria-busy=${busy}>
        ${error && html`<p class="notice bad" role="alert">${error.message}</p>`}
        ${question && !fits && html`<p class="notice bad" role="alert">“${question.label}” is ${question.kind === "events" ? "a recording" : "a picture"}; ${name} takes ${version.input?.kind === "events" ? "recordings" : "pictures"}. Choose another model.</p>`}
        ${busy && !answer && html`<p class="quiet">The network is running …</p>`}
        ${answer && html`<${Answer} key=${answer.id} answer=${answer} labels=${version.labels} card=${answer.card} />`}
        ${answer && question && html`<${Snippets} path=${requestPath(name, version, question)} question=${question} />`}
        ${!answer && !error && !busy && !question && html`<div class="empty"><p>Draw a digit, or choose an example.</p><p class="quiet">The answer shows each spike, where the energy goes, and how the decision forms.</p></div>`}
      </div>
    </div>
  `;
}

/** The answer to a question, with the version's card; without a raster where the version has none.
 * @param {string} name @param {any} version @param {Question} question @param {AbortSignal} signal */
async function ask(name, version, question, signal) {
  const path = requestPath(name, version, question);
  const options = {
    method: "POST",
    body: question.blob,
    headers: { "Content-Type": question.kind === "image" ? question.blob.type || "image/png" : "application/octet-stream" },
    signal,
  };
  const card = call(`${modelPath(name)}/versions/${version.version}`, { signal }).then((response) => response.json());
  const response = await call(path, options).catch((error) => {
    if (error.param !== "detail") throw error;
    return call(path.replace("detail=raster", "detail=timesteps"), options);
  });
  return { ...(await response.json()), card: (await card).card };
}
