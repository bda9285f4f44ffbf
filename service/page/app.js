// The frame of the page: its views, and the API key where the service asks for one.
import { html, render, useEffect, useState } from "./lib.js";
import { KeyForm } from "./key-form.js";
import { get, onUnauthorized } from "./api.js";
import { Ask } from "./ask/ask.js";
import { FineTune } from "./fine-tune/fine-tune.js";
import { Live } from "./live/live.js";
import { Models } from "./models/models.js";
import { Now } from "./now/now.js";

/** @type {Record<string, {title: string, view: any}>} */
const VIEWS = {
  ask: { title: "Ask", view: Ask },
  live: { title: "Live", view: Live },
  models: { title: "Models", view: Models },
  "fine-tune": { title: "Fine-tune", view: FineTune },
  now: { title: "Now", view: Now },
};

const current = () => (location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "ask");

/** @param {{error: Error}} props */
const Unreachable = ({ error }) => html`<p class="notice bad" role="alert">${error.message}</p>`;

function App() {
  const [name, setName] = useState(current);
  const [models, setModels] = useState(/** @type {any[] | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [locked, setLocked] = useState(false);

  async function load() {
    try {
      setModels((await get("/v1/models")).data);
      setError(null);
    } catch (failure) {
      setError(/** @type {Error} */ (failure));
    }
  }

  useEffect(() => {
    const follow = () => setName(current());
    addEventListener("hashchange", follow);
    const stop = onUnauthorized(() => setLocked(true));
    load();
    return () => (removeEventListener("hashchange", follow), stop());
  }, []);
  useEffect(() => {
    document.title = `${VIEWS[name].title} · stl-snn`;
  }, [name]);

  const { view: View } = VIEWS[name];
  return html`
    <a class="skip" href="#main" onClick=${(/** @type {Event} */ event) => (event.preventDefault(), document.getElementById("main")?.focus())}>Skip to content</a>
    <header class="top">
      <a class="brand" href="#ask"><img src="/page/icon.svg" alt="" width="24" height="24" />stl-snn</a>
      <nav aria-label="Views">
        ${Object.entries(VIEWS).map(
          ([id, { title }]) => html`<a href=${`#${id}`} aria-current=${id === name ? "page" : undefined}>${title}</a>`,
        )}
      </nav>
      <a class="aside" href="/docs">API</a>
    </header>
    <main id="main" tabindex="-1">
      ${locked
        ? html`<${KeyForm} onKey=${() => (setLocked(false), load())} />`
        : html`
            ${error && html`<${Unreachable} error=${error} />`}
            ${models && html`<${View} models=${models} reload=${load} />`}
            ${!models && !error && html`<p class="quiet">Loading the models …</p>`}
            ${error && html`<button onClick=${load}>Try again</button>`}
          `}
    </main>
    <footer>
      Energy figures are estimates from counted operations unless they say “measured”.${" "}
      <a href="/docs">API documentation</a>
    </footer>
  `;
}

const root = document.getElementById("app");
if (root) {
  root.replaceChildren();
  render(html`<${App} />`, root);
}
