// Sends a data set, with its progress.
import { html, useRef, useState } from "../lib.js";
import { ApiError, authorization } from "../api.js";
import { bytes, count } from "../format.js";

/** Uploads a file; `onProgress` gets the share that has been sent.
 * @param {File} file @param {(share: number) => void} onProgress @returns {Promise<any>} */
function upload(file, onProgress) {
  const form = new FormData();
  form.append("purpose", "fine-tune");
  form.append("file", file);
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest(); // `fetch` does not say how much has been sent
    request.open("POST", "/v1/files");
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => failed(new ApiError("The upload was cut off. Is the service running?", 0, "unreachable"));
    request.onload = () => {
      const body = JSON.parse(request.responseText || "null");
      if (request.status === 200) done(body);
      else failed(new ApiError(body?.error?.message ?? `The service answered ${request.status}.`, request.status, body?.error?.code ?? "unknown"));
    };
    request.send(form);
  });
}

/** @param {{onUploaded: () => void, files: any[]}} props */
export function Upload({ onUploaded, files }) {
  const picker = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [state, setState] = useState({ name: "", share: 0, error: "", done: "" });

  /** @param {File} file */
  async function take(file) {
    setState({ name: file.name, share: 0, error: "", done: "" });
    try {
      const sent = await upload(file, (share) => setState((before) => ({ ...before, share })));
      setState({ name: "", share: 0, error: "", done: `${sent.filename}: ${count(sent.dataset.samples)} samples of ${count(sent.dataset.class_count)} classes` });
      onUploaded();
    } catch (error) {
      setState({ name: "", share: 0, error: /** @type {Error} */ (error).message, done: "" });
    }
  }

  return html`
    <section class="card">
      <h2>Data set</h2>
      <p class="quiet small">A .zip with a folder for each class, holding pictures or recordings; or an .npz with x and y.</p>
      <div class="row">
        <button disabled=${!!state.name} onClick=${() => picker.current?.click()}>Upload …</button>
        <input ref=${picker} type="file" hidden accept=".zip,.npz" tabindex="-1" aria-label="Data set" data-testid="dataset"
          onChange=${(/** @type {any} */ event) => {
            const file = event.target.files?.[0];
            if (file) take(file);
            event.target.value = "";
          }} />
      </div>
      ${state.name && html`<label>${state.share < 1 ? `Sending ${state.name}` : `Checking ${state.name}`}<progress value=${state.share} max="1"></progress></label>`}
      ${state.error && html`<p class="notice bad" role="alert">${state.error}</p>`}
      ${state.done && html`<p class="notice" role="status">${state.done}</p>`}
      ${files.length > 0 && html`<p class="quiet small">${count(files.length)} uploaded, the latest ${files[0].filename} (${bytes(files[0].bytes)})</p>`}
    </section>
  `;
}
