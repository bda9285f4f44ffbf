// Models: versions, what their cards say, and which one answers by default.
import { html, useEffect, useState } from "../lib.js";
import { get, modelPath, send } from "../api.js";
import { percent, when } from "../format.js";
import { Card } from "./card.js";
import { History } from "./history.js";

const ENGINES = { event: "the event engine", torchscript: "TorchScript", torchserve: "TorchServe", group: "its members" };

/** @param {{models: any[], reload: () => Promise<void>}} props */
export function Models({ models, reload }) {
  const [chosen, setChosen] = useState({ name: models[0]?.name ?? "", version: models[0]?.default_version ?? 1 });
  useEffect(() => {
    const timer = setInterval(reload, 5000);
    return () => clearInterval(timer);
  }, []);
  if (!models.length) return html`<p class="notice">There are no models yet.</p>`;
  return html`
    <h1>Models</h1>
    <div class="split">
      <nav class="card list" aria-label="Versions">
        ${models.map((model) => html`
          <h2>${model.name}</h2>
          <ul>
            ${model.versions.map((/** @type {any} */ each) => html`<li>
              <button class="version" aria-pressed=${chosen.name === model.name && chosen.version === each.version}
                onClick=${() => setChosen({ name: model.name, version: each.version })}>
                <span>version ${each.version}</span>
                ${each.version === model.default_version && html`<span class="tag">default</span>`}
                <span class=${`state ${each.state}`}>${each.state}</span>
                <span class="quiet">${each.metrics ? percent(each.metrics.accuracy, 1) : ""}</span>
              </button>
            </li>`)}
          </ul>`)}
      </nav>
      <${Version} key=${`${chosen.name}/${chosen.version}`} model=${models.find((each) => each.name === chosen.name)} number=${chosen.version} reload=${reload} />
    </div>
  `;
}

/** @param {{model: any, number: number, reload: () => Promise<void>}} props */
function Version({ model, number, reload }) {
  const [version, setVersion] = useState(/** @type {any} */ (null));
  const [message, setMessage] = useState({ text: "", bad: false });
  const [busy, setBusy] = useState(false);
  const path = model && `${modelPath(model.name)}/versions/${number}`;

  const show = () => get(path).then(setVersion, (error) => setMessage({ text: error.message, bad: true }));
  useEffect(() => {
    if (path) show();
  }, []);

  /** @param {() => Promise<any>} work @param {string} done */
  async function act(work, done) {
    setBusy(true);
    try {
      await work();
      setMessage({ text: done, bad: false });
    } catch (error) {
      setMessage({ text: /** @type {Error} */ (error).message, bad: true });
    }
    setBusy(false);
    await Promise.all([reload(), show()]);
  }

  if (!model) return null;
  if (!version) return html`<div class="card"><p class=${message.bad ? "notice bad" : "quiet"}>${message.text || "Loading …"}</p></div>`;
  const isDefault = model.default_version === number;
  const promote = () => send("PUT", `${modelPath(model.name)}/default`, { version: number, expected: model.default_version });
  return html`
    <div class="answer">
      <section class="card">
        <div class="row head">
          <h2 class="large">${model.name} <span class="quiet">version ${number}</span></h2>
          <div class="row">
            <button class="primary" disabled=${busy || isDefault || version.state === "failed"} onClick=${() => act(promote, `Version ${number} now answers by default.`)}>
              ${isDefault ? "Answers by default" : number < model.default_version ? "Roll back to this version" : "Promote"}</button>
            <button disabled=${busy || version.state === "ready"} onClick=${() => act(() => send("POST", `${path}/load`), "It is in memory.")}>Load</button>
            <button disabled=${busy || isDefault || version.state !== "ready"} onClick=${() => act(() => send("POST", `${path}/unload`), "It is no longer in memory.")}>Unload</button>
          </div>
        </div>
        <p role="status" class=${message.bad ? "notice bad" : "notice"} hidden=${!message.text}>${message.text}</p>
        ${version.error && html`<p class="notice bad">${version.error}</p>`}
        <p class="quiet small">${version.state}${version.engine ? `, run by ${ENGINES[/** @type {"event"} */ (version.engine.name)] ?? version.engine.name}${version.engine.reason ? ` (${version.engine.reason})` : ""}` : ""};
          ${" "}made ${when(version.created_at)}${version.parent ? `, fine-tuned from ${version.parent}` : ""}</p>
        ${version.group && html`<p>A group: it joins ${version.group.members.join(", ")} by ${version.group.decision}.</p>`}
      </section>
      ${version.card && html`<${Card} card=${version.card} />`}
      <${History} name=${model.name} stamp=${model.default_version} />
    </div>
  `;
}
