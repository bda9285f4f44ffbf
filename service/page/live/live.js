// Live: events into the service's stream, from a recording at its own speed or from the camera, and decisions as they come.
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { call } from "../api.js";
import { count, duration, energy, percent } from "../format.js";
import { Bar } from "../ask/decision.js";
import { parseRecording } from "./recording.js";
import { replay } from "./replay.js";
import { fromCamera } from "./camera-events.js";
import { openStream } from "./stream.js";
import { fade, mark } from "./picture.js";

/** @typedef {import("./recording.js").Events} Events */

const EXAMPLE = "/page/examples/saccade-zero.bin";
const SPEEDS = [0.1, 0.5, 1, 2];

/** @param {{models: any[]}} props */
export function Live({ models }) {
  const usable = useMemo(() => models.filter((model) => model.versions[0]?.input?.kind === "events" && !model.versions[0].group), [models]);
  const [name, setName] = useState(usable[0]?.name ?? "");
  const [speed, setSpeed] = useState(0.5);
  const [decisions, setDecisions] = useState(/** @type {any[]} */ ([]));
  const [state, setState] = useState({ running: false, words: "", error: "" });
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const picker = useRef(/** @type {HTMLInputElement | null} */ (null));
  const stop = useRef(() => {});
  const input = usable.find((each) => each.name === name)?.versions[0].input;

  useEffect(() => () => stop.current(), []);

  /** Sends what `source` gives, and shows it; `source` returns how to end it.
   * @param {string} words @param {(send: (events: Events) => void, end: () => void) => Promise<() => void>} source
   * @param {string} decision */
  async function run(words, source, decision) {
    stop.current();
    setDecisions([]);
    setState({ running: true, words, error: "" });
    const context = canvas.current?.getContext("2d");
    const stream = openStream(name, { scores: "true", decision }, (message) => {
      if (message.type === "decision") setDecisions((before) => [...before, { ...message, at: performance.now() }].slice(-600));
      if (message.type === "error") setState((before) => ({ ...before, error: message.error.message }));
      if (message.type === "gone") end(message.reason);
    });
    let endSource = () => {};
    let fading = 0;
    const draw = () => {
      if (context) fade(context);
      fading = requestAnimationFrame(draw);
    };
    function end(/** @type {string} */ reason = "") {
      endSource();
      cancelAnimationFrame(fading);
      stream.close();
      stop.current = () => {};
      setState((before) => ({ ...before, running: false, error: before.error || reason }));
    }
    stop.current = () => end();
    try {
      await stream.ready;
      draw();
      endSource = await source((events) => (stream.send(events), context && mark(context, events)), () => end());
    } catch (error) {
      end(/** @type {Error} */ (error).message);
    }
  }

  /** @param {ArrayBuffer} data @param {string} file */
  function play(data, file) {
    try {
      const events = parseRecording(data, file);
      run(`Replaying ${file}`, (send, end) => Promise.resolve(replay(events, speed, send, end)), "running");
    } catch (error) {
      setState({ running: false, words: "", error: /** @type {Error} */ (error).message });
    }
  }

  const playExample = async () => play(await (await call(EXAMPLE)).arrayBuffer(), "saccade-zero.bin");
  const camera = () => run("From the camera", (send) => fromCamera(input, send), "window");

  if (!usable.length) return html`<h1>Live</h1><p class="notice">A live stream needs a model of events whose time steps have a fixed length, such as nmnist-stl.</p>`;
  const last = decisions.at(-1);
  const first = decisions[0];
  const seconds = last && first && last.at > first.at ? (last.at - first.at) / 1000 : 0;
  const labels = usable.find((each) => each.name === name)?.versions[0].labels ?? [];
  return html`
    <h1>Live</h1>
    <div class="split">
      <section class="card" aria-label="Source">
        <label>Model<select value=${name} onChange=${(/** @type {any} */ event) => (stop.current(), setName(event.target.value))}>${usable.map((each) => html`<option value=${each.name}>${each.name}</option>`)}</select></label>
        <label>Speed of a replay<select value=${String(speed)} onChange=${(/** @type {any} */ event) => setSpeed(Number(event.target.value))}>${SPEEDS.map((each) => html`<option value=${String(each)}>${each === 1 ? "its own" : `${each} times its own`}</option>`)}</select></label>
        <button class="primary" disabled=${state.running} onClick=${playExample}>Replay the example</button>
        <button disabled=${state.running} onClick=${() => picker.current?.click()}>Replay a recording …</button>
        <input ref=${picker} type="file" hidden tabindex="-1" aria-label="Recording" data-testid="recording" onChange=${async (/** @type {any} */ event) => {
          const file = event.target.files?.[0];
          if (file) play(await file.arrayBuffer(), file.name);
          event.target.value = "";
        }} />
        ${navigator.mediaDevices && html`<button disabled=${state.running} onClick=${camera}>Use the camera as events</button>`}
        <button disabled=${!state.running} onClick=${() => stop.current()}>Stop</button>
        ${state.error && html`<p class="notice bad" role="alert">${state.error}</p>`}
        <p class="quiet small" role="status">${state.words}${state.words ? (state.running ? " …" : ": ended.") : "N-MNIST’s .bin and .csv (t, x, y, p). The camera’s pixels become events where their brightness changes."}</p>
      </section>
      <div class="answer">
        <div class="pair">
          <section class="card">
            <h2>Decision</h2>
            <p class="verdict" data-testid="live-label">${last?.label ?? "–"}</p>
            <ul class="bars short" aria-label="Scores">${(last?.scores ?? []).slice(0, 12).map((/** @type {number} */ score, /** @type {number} */ k) => html`
              <li class=${k === last.class_id ? "leads" : ""}><span class="name">${labels[k] ?? k}</span><${Bar} share=${score} /><span class="value">${percent(score)}</span></li>`)}</ul>
          </section>
          <section class="card">
            <h2>Events</h2>
            <canvas ref=${canvas} class="events-canvas" width=${input?.width ?? 34} height=${input?.height ?? 34} role="img" aria-label="The latest events"></canvas>
            <p class="legend small"><span class="dot on"></span> brighter <span class="dot off"></span> darker</p>
          </section>
        </div>
        <div class="grid tiles">
          ${/** @type {[string, string, string][]} */ ([
            ["Step", "live-step", last ? String(last.step + 1) : "–"],
            ["Events of the step", "live-events", last ? count(last.events) : "–"],
            ["Spikes a second", "live-spikes", seconds && last ? count((last.spikes_total - first.spikes_total) / seconds) : "–"],
            ["Energy so far, estimate", "live-energy", last ? energy(last.estimate_nj_total) : "–"],
            ["Latency", "live-latency", last && last.latency_ms !== null ? duration(last.latency_ms) : "–"],
          ]).map(([title, id, value]) => html`<section class="card tile"><h2>${title}</h2><p class="figure" data-testid=${id}>${value}</p></section>`)}
        </div>
        <p class="quiet small">Latency runs from the arrival of a step’s last event to its decision, so it contains the wait for a later event.</p>
      </div>
    </div>
  `;
}
