// The same request for a terminal and for Python.
import { html, useState } from "../lib.js";
import { key } from "../api.js";

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @param {{path: string, question: import("./ask.js").Question}} props */
export function Snippets({ path, question }) {
  const kind = question.kind === "image" ? question.blob.type || "image/png" : "application/octet-stream";
  const url = location.origin + path;
  const curl = [
    "curl -s",
    ...(key() ? [`-H 'Authorization: Bearer YOUR_KEY'`] : []),
    `-H ${quoted(`Content-Type: ${kind}`)}`,
    `--data-binary @${quoted(question.name)}`,
    quoted(url),
  ].join(" \\\n  ");
  const query = new URLSearchParams(path.split("?")[1]);
  const model = decodeURIComponent(path.split("/")[3]);
  const options = [...query].map(([name, value]) => `${name}=${/^\d+$/.test(value) ? value : JSON.stringify(value)}`);
  const python = [
    "from stl_snn_client import Client",
    "",
    `client = Client(${JSON.stringify(location.origin)}${key() ? ', api_key="YOUR_KEY"' : ""})`,
    `answer = client.predict(${JSON.stringify(model)}, ${JSON.stringify(question.name)}, ${options.join(", ")})`,
    `print(answer["predictions"][0]["label"])`,
  ].join("\n");
  return html`
    <section class="card">
      <h2>Ask the same elsewhere</h2>
      <${Snippet} title="curl" text=${curl} />
      <${Snippet} title="Python" text=${python} />
    </section>
  `;
}

/** @param {{title: string, text: string}} props */
function Snippet({ title, text }) {
  const [done, setDone] = useState(false);
  async function copy() {
    await navigator.clipboard?.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  }
  return html`
    <div class="snippet">
      <div class="row"><h3>${title}</h3><button class="plain small" onClick=${copy}>${done ? "Copied" : `Copy as ${title}`}</button></div>
      <pre tabindex="0"><code>${text}</code></pre>
    </div>
  `;
}
