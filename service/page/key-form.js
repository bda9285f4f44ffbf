// Asks for the API key once; it stays in this tab.
import { html, useState } from "./lib.js";
import { get, setKey } from "./api.js";

/** @param {{onKey: () => void}} props */
export function KeyForm({ onKey }) {
  const [message, setMessage] = useState("");

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    setKey(String(new FormData(form).get("key") ?? "").trim());
    try {
      await get("/v1/models");
      onKey();
    } catch (error) {
      setKey("");
      setMessage(/** @type {Error} */ (error).message);
    }
  }

  return html`
    <form class="card narrow" onSubmit=${submit}>
      <h1>API key</h1>
      <p>This service asks for a key. It stays in this tab and is sent with each call of the API.</p>
      <label for="key">Key</label>
      <input id="key" name="key" type="password" autocomplete="off" required aria-describedby="key-message" />
      <p id="key-message" class="notice bad" role="alert" hidden=${!message}>${message}</p>
      <button class="primary">Continue</button>
    </form>
  `;
}
