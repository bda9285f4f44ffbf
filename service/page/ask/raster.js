// The raster: each spike as a mark, time step by neuron; and a convolution's spikes as pictures.
import { html, useLayoutEffect, useRef, useState } from "../lib.js";
import { count } from "../format.js";
import { Maps } from "./maps.js";
import { inkOf } from "../theme.js";

const HEIGHT = 132;

/** @typedef {{layer: string, neurons: number, shape: number[], steps: number[][]}} Layer */

/** @param {HTMLCanvasElement} canvas @param {Layer} layer @param {number} step */
function paint(canvas, layer, step) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.width = width * ratio;
  canvas.height = HEIGHT * ratio;
  const context = canvas.getContext("2d");
  if (!context) return;
  const ink = inkOf(canvas);
  context.scale(ratio, ratio);
  const column = width / layer.steps.length;
  context.fillStyle = ink.wash;
  context.fillRect(step * column, 0, column, HEIGHT);
  const inset = Math.min(3, column / 8);
  // Many neurons stand side by side in rows, so that each has a dot of its own.
  const across = layer.neurons <= HEIGHT ? 1 : Math.ceil(layer.neurons / (HEIGHT / 2));
  const rows = Math.ceil(layer.neurons / across);
  const [wide, high] = [(column - 2 * inset) / across, HEIGHT / rows];
  const [dot, mark] = [Math.max(0.5, wide * 0.86), Math.max(0.5, Math.min(3, high * 0.86))];
  layer.steps.forEach((fired, t) => {
    context.fillStyle = t === step ? ink.strong : ink.soft;
    for (const neuron of fired)
      context.fillRect(t * column + inset + (neuron % across) * wide, Math.floor(neuron / across) * high, dot, mark);
  });
}

/** @param {{layer: Layer, step: number, onStep: (step: number) => void}} props */
function LayerRaster({ layer, step, onStep }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [open, setOpen] = useState(false);
  useLayoutEffect(() => {
    const draw = () => canvas.current && paint(canvas.current, layer, step);
    draw();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("resize", draw);
    scheme.addEventListener("change", draw);
    return () => (removeEventListener("resize", draw), scheme.removeEventListener("change", draw));
  }, [layer, step]);

  /** @param {MouseEvent} event */
  function choose(event) {
    const box = /** @type {HTMLElement} */ (event.target).getBoundingClientRect();
    onStep(Math.min(layer.steps.length - 1, Math.floor(((event.clientX - box.left) / box.width) * layer.steps.length)));
  }

  const total = layer.steps.reduce((sum, fired) => sum + fired.length, 0);
  const isMap = layer.shape.length === 3;
  const shape = isMap ? `${layer.shape[0]} maps of ${layer.shape[2]} × ${layer.shape[1]}` : `${count(layer.neurons)} neurons`;
  return html`
    <figure class="layer">
      <figcaption>
        <b>${layer.layer}</b> <span class="quiet small">${shape}, ${count(total)} spikes, ${count(layer.steps[step]?.length ?? 0)} at this step</span>
        ${isMap && html`<button class="plain small" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? "Hide the maps" : "Show the maps"}</button>`}
      </figcaption>
      <canvas ref=${canvas} class="raster" role="img" onClick=${choose}
        aria-label=${`Raster of ${layer.layer}: ${layer.steps.map((fired, t) => `step ${t + 1}, ${fired.length} spikes`).join("; ")}`}></canvas>
      ${isMap && open && html`<${Maps} shape=${layer.shape} fired=${layer.steps[step] ?? []} name=${layer.layer} />`}
    </figure>
  `;
}

/** @param {{layers?: Layer[], step: number, onStep: (step: number) => void}} props */
export function Raster({ layers, step, onStep }) {
  if (!layers) return html`<section class="card"><h2>Spikes by neuron</h2><p class="notice">This version does not show its neurons, so there is no raster.</p></section>`;
  return html`
    <section class="card">
      <h2>Spikes by neuron</h2>
      <p class="quiet small">Each mark is a neuron that fired; a column is a time step, from left to right. Neurons are in the order of their numbers, many of them in rows.</p>
      <div class="layers">
        ${layers.map((layer) => html`<${LayerRaster} key=${layer.layer} layer=${layer} step=${step} onStep=${onStep} />`)}
      </div>
    </section>
  `;
}
