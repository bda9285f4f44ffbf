// The changes to a model's versions and default, newest first.
import { html, useEffect, useState } from "../lib.js";
import { get, modelPath } from "../api.js";
import { when } from "../format.js";

/** @param {any} change */
const words = ({ action, version, previous }) =>
  action === "promote"
    ? `version ${version} became the default${previous ? `, in place of ${previous}` : ""}`
    : `version ${version} was ${action === "publish" ? "published" : "deleted"}`;

/** @param {{name: string, stamp: unknown}} props */
export function History({ name, stamp }) {
  const [changes, setChanges] = useState(/** @type {any[]} */ ([]));
  useEffect(() => {
    get(`${modelPath(name)}/history?limit=20`).then((page) => setChanges(page.data), () => setChanges([]));
  }, [name, stamp]);
  return html`
    <section class="card">
      <h2>History</h2>
      ${changes.length === 0 && html`<p class="quiet small">Nothing has changed yet.</p>`}
      <ol class="plain-list">${changes.map((each) => html`<li><span class="quiet small">${when(each.created_at)}</span> ${words(each)}</li>`)}</ol>
    </section>
  `;
}
