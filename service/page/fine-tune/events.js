// Server-sent events by `fetch`, which can send a key, as `EventSource` cannot.
import { call } from "../api.js";

/** @typedef {{id: string, event: string, data: any}} Message */

/** One message, from its lines.
 * @param {string} block @returns {Message | null} */
export function parse(block) {
  const message = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name === "data") message.data += value;
    else if (name === "id" || name === "event") message[name] = value;
  }
  return message.data ? { ...message, data: JSON.parse(message.data) } : null;
}

/** The messages of a stream, one after the other, until it ends.
 * @param {string} path @param {string} after the id of the last message that is known @param {AbortSignal} signal
 * @returns {AsyncGenerator<Message>} */
export async function* messages(path, after, signal) {
  const headers = { Accept: "text/event-stream", ...(after ? { "Last-Event-ID": after } : {}) };
  const response = await call(path, { headers, signal });
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true }).replaceAll("\r\n", "\n");
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const message = parse(block);
      if (message) yield message;
    }
  }
}
