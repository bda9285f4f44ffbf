// A pad to draw on: light strokes on a dark ground, as the digit models expect them.
import { html, useEffect, useRef, useState } from "../lib.js";

const SIZE = 280;
const WAIT_MS = 350; // after a stroke, before the drawing is sent

/** Where a drawing has ink, or null.
 * @param {ImageData} image */
function inked({ data, width, height }) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (data[4 * (y * width + x)] > 20) {
        left = Math.min(left, x), right = Math.max(right, x);
        top = Math.min(top, y), bottom = Math.max(bottom, y);
      }
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** The drawing as the data sets of digits have theirs: in the middle, filling most of the picture.
 * @param {HTMLCanvasElement} canvas @param {number} side the model's @returns {Promise<Blob | null>} */
export function centred(canvas, side) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const box = inked(context.getImageData(0, 0, SIZE, SIZE));
  if (!box) return Promise.resolve(null);
  const share = side >= 20 ? 20 / 28 : 1; // MNIST's digits have 20 of 28 pixels, the small ones fill their picture
  const scale = (SIZE * share) / Math.max(box.width, box.height);
  const [width, height] = [box.width * scale, box.height * scale];
  const target = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
  const to = /** @type {CanvasRenderingContext2D} */ (target.getContext("2d"));
  to.fillStyle = "#000";
  to.fillRect(0, 0, SIZE, SIZE);
  to.drawImage(canvas, box.left, box.top, box.width, box.height, (SIZE - width) / 2, (SIZE - height) / 2, width, height);
  return new Promise((done) => target.toBlob(done, "image/png"));
}

/** @param {{side: number, onDrawn: (blob: Blob) => void}} props */
export function Pad({ side, onDrawn }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [centre, setCentre] = useState(true);
  const [empty, setEmpty] = useState(true);
  const pen = useRef(/** @type {{x: number, y: number} | null} */ (null));
  const timer = useRef(0);
  const context = () => /** @type {CanvasRenderingContext2D} */ (canvas.current?.getContext("2d", { willReadFrequently: true }));

  function clear() {
    clearTimeout(timer.current);
    context().fillStyle = "#000";
    context().fillRect(0, 0, SIZE, SIZE);
    setEmpty(true);
  }
  useEffect(() => (clear(), () => clearTimeout(timer.current)), []);

  async function finish() {
    const drawn = canvas.current;
    if (!drawn) return;
    const blob = centre ? await centred(drawn, side) : await new Promise((/** @type {(b: Blob | null) => void} */ done) => drawn.toBlob(done, "image/png"));
    if (blob) onDrawn(blob);
  }

  /** @param {PointerEvent} event */
  function place(event) {
    const box = /** @type {HTMLCanvasElement} */ (event.target).getBoundingClientRect();
    return { x: ((event.clientX - box.left) * SIZE) / box.width, y: ((event.clientY - box.top) * SIZE) / box.height };
  }

  /** @param {PointerEvent} event */
  function start(event) {
    /** @type {HTMLCanvasElement} */ (event.target).setPointerCapture(event.pointerId);
    clearTimeout(timer.current);
    pen.current = place(event);
    setEmpty(false);
    move(event);
  }

  /** @param {PointerEvent} event */
  function move(event) {
    if (!pen.current) return;
    const [to, line] = [place(event), context()];
    Object.assign(line, { strokeStyle: "#fff", lineWidth: side >= 20 ? 22 : 34, lineCap: "round", lineJoin: "round" });
    line.beginPath();
    line.moveTo(pen.current.x, pen.current.y);
    line.lineTo(to.x, to.y);
    line.stroke();
    pen.current = to;
  }

  function end() {
    if (!pen.current) return;
    pen.current = null;
    timer.current = setTimeout(finish, WAIT_MS);
  }

  return html`
    <div class="pad">
      <canvas ref=${canvas} width=${SIZE} height=${SIZE} role="img" aria-label="Drawing area: draw with mouse, pen or finger. With a keyboard, choose an example or a file."
        onPointerDown=${start} onPointerMove=${move} onPointerUp=${end} onPointerCancel=${end}></canvas>
      ${empty && html`<span class="hint" aria-hidden="true">draw here</span>`}
    </div>
    <div class="row pad-tools">
      <button onClick=${clear} disabled=${empty}>Clear</button>
      <label class="check"><input type="checkbox" checked=${centre} onChange=${(/** @type {any} */ e) => setCentre(e.target.checked)} /> centre the drawing</label>
    </div>
  `;
}
