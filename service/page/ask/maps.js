// The maps of a convolution at one time step: a picture for each channel.
import { html, useLayoutEffect, useRef } from "../lib.js";
import { inkOf } from "../theme.js";

const MOST = 64;
const GAP = 1;

/** @param {{shape: number[], fired: number[], name: string}} props */
export function Maps({ shape, fired, name }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [channels, height, width] = shape;
  const shown = Math.min(channels, MOST);
  const columns = Math.min(shown, 8);
  const rows = Math.ceil(shown / columns);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !canvas.current) return;
    const ink = inkOf(canvas.current);
    context.clearRect(0, 0, canvas.current.width, canvas.current.height);
    context.fillStyle = ink.ground;
    for (let c = 0; c < shown; c++) context.fillRect(...corner(c), width, height);
    context.fillStyle = ink.strong;
    for (const neuron of fired) {
      const channel = Math.floor(neuron / (width * height));
      if (channel >= shown) continue;
      const [left, top] = corner(channel);
      context.fillRect(left + (neuron % width), top + (Math.floor(neuron / width) % height), 1, 1);
    }
  }, [fired, shape]);

  /** @param {number} channel @returns {[number, number]} */
  const corner = (channel) => [(channel % columns) * (width + GAP), Math.floor(channel / columns) * (height + GAP)];
  return html`
    <canvas ref=${canvas} class="maps" width=${columns * (width + GAP) - GAP} height=${rows * (height + GAP) - GAP} role="img"
      aria-label=${`The maps of ${name} at this time step, a picture for each of ${shown} channels`}></canvas>
    ${channels > MOST && html`<p class="quiet small">The first ${MOST} of ${channels} maps.</p>`}
  `;
}
