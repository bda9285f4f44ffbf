// What the network was given, after the service has decoded and fitted it.
import { html, useLayoutEffect, useRef } from "../lib.js";
import { count, duration } from "../format.js";

/** @param {{shape: number[], frames: number[][]}} input @param {number} step @param {HTMLCanvasElement} canvas */
function paint(input, step, canvas) {
  const [channels, height, width] = input.shape;
  const frame = input.frames[Math.min(step, input.frames.length - 1)];
  const isImage = input.frames.length === 1 && channels !== 2;
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(width, height);
  const most = Math.max(1, ...frame);
  const size = width * height;
  for (let i = 0; i < size; i++) {
    let rgb;
    if (isImage) rgb = channels === 3 ? [frame[i], frame[size + i], frame[2 * size + i]] : [frame[i], frame[i], frame[i]];
    else {
      const [off, on] = [frame[i], channels > 1 ? frame[size + i] : 0];
      const light = 0.55 + 0.45 * (Math.max(on, off) / most);
      rgb = (on ? [240, 160, 40] : off ? [80, 150, 250] : [16, 18, 22]).map((part) => (on || off ? part * light : part));
    }
    image.data.set([...rgb, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

/** @param {any} done @param {any} card */
function words(done, card) {
  if (done && "events" in done)
    return [`${count(done.events_used)} of ${count(done.events)} events fall into the model’s time steps (${duration(done.span_us / 1000)} of recording).`,
      done.resized_from && `Scaled from ${done.resized_from[1]} × ${done.resized_from[0]}.`, done.flipped_y && "Turned upside down.", done.sorted && "Sorted by time."];
  const coding = card?.encoder?.coding === "poisson" ? "Each pixel then fires at random, the brighter the more often." : "Its pixels are the input of each time step.";
  return [done?.converted_from && `Converted from ${done.converted_from}.`,
    done?.resized_from && `Resized from ${done.resized_from[1]} × ${done.resized_from[0]}.`, !done && "Used as it is.", coding];
}

/** @param {{input?: any, preprocessing: any, step: number, card: any}} props */
export function Seen({ input, preprocessing, step, card }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  useLayoutEffect(() => {
    if (canvas.current && input) paint(input, step, canvas.current);
  }, [input, step]);
  if (!input) return null;
  const [, height, width] = input.shape;
  const perStep = input.frames.length > 1;
  return html`
    <section class="card seen">
      <h2>What the network saw</h2>
      <canvas ref=${canvas} width=${width} height=${height} role="img"
        aria-label=${perStep ? `Events of time step ${step + 1}, ${width} by ${height} pixels` : `The picture, ${width} by ${height} pixels`}></canvas>
      <p class="quiet small">${width} × ${height}${perStep ? `, time step ${step + 1}` : ""}. ${words(preprocessing, card).filter(Boolean).join(" ")}</p>
      ${perStep && input.shape[0] === 2 && html`<p class="legend small"><span class="dot on"></span> brighter <span class="dot off"></span> darker</p>`}
    </section>
  `;
}
