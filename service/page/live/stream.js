// The service's stream of live events, over a WebSocket.
import { key, modelPath } from "../api.js";

/** @typedef {import("./recording.js").Events} Events */

const RECORD = 13; // t u64, x u16, y u16, p u8, little-endian

/** @param {Events} events */
export function pack(events) {
  const view = new DataView(new ArrayBuffer(RECORD * events.t.length));
  events.t.forEach((time, i) => {
    view.setBigUint64(RECORD * i, BigInt(time), true);
    view.setUint16(RECORD * i + 8, events.x[i], true);
    view.setUint16(RECORD * i + 10, events.y[i], true);
    view.setUint8(RECORD * i + 12, events.p[i]);
  });
  return view.buffer;
}

/** The subprotocols that carry the key, which a browser cannot send in a header of a WebSocket. */
function protocols() {
  if (!key()) return [];
  return ["stl-snn", `bearer.${btoa(key()).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}

/** Opens a stream; `onMessage` gets what the service says, and `{type: "gone"}` when the connection ends.
 * @param {string} model @param {Record<string, string>} query @param {(message: any) => void} onMessage */
export function openStream(model, query, onMessage) {
  const url = new URL(`${modelPath(model)}/stream?${new URLSearchParams(query)}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, protocols());
  let [isOpen, isClosing] = [false, false];
  const ready = new Promise((done, failed) => {
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "ready") (isOpen = true), done(message);
      onMessage(message);
    };
    socket.onclose = ({ code, reason }) => {
      const words = !isOpen ? "The service did not open the stream." : code === 1000 ? "" : `The service closed the stream (${code}${reason ? ` ${reason}` : ""}).`;
      failed(new Error(words));
      onMessage({ type: "gone", reason: isClosing ? "" : words });
    };
  });
  return {
    ready,
    /** @param {Events} events */
    send: (events) => socket.readyState === WebSocket.OPEN && socket.send(pack(events)),
    close: () => {
      if (isClosing) return;
      isClosing = true;
      if (socket.readyState === WebSocket.OPEN) socket.send('{"type": "close"}');
      else socket.close();
    },
  };
}
