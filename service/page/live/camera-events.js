// The camera's pictures as events: a pixel sends one where its log intensity has changed by more than a threshold.

/** @typedef {import("./recording.js").Events} Events */

const THRESHOLD = 0.22;
const MOST_A_PICTURE = 3;

/** The events between a pixel's reference and its present brightness; the reference follows.
 * @param {Float32Array} reference log intensities, changed in place @param {ArrayLike<number>} rgba
 * @param {number} width @param {number} time in µs @returns {Events} */
export function changes(reference, rgba, width, time) {
  /** @type {Events} */
  const events = { t: [], x: [], y: [], p: [] };
  for (let i = 0; i < reference.length; i++) {
    const light = Math.log(8 + 0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2]);
    const times = Math.min(MOST_A_PICTURE, Math.floor(Math.abs(light - reference[i]) / THRESHOLD));
    if (!times) continue;
    const brighter = light > reference[i];
    reference[i] = times === MOST_A_PICTURE ? light : reference[i] + (brighter ? 1 : -1) * times * THRESHOLD;
    for (let n = 0; n < times; n++) {
      events.t.push(time);
      events.x.push(i % width);
      events.y.push(Math.floor(i / width));
      events.p.push(brighter ? 1 : 0);
    }
  }
  return events;
}

/** Begins to send events; returns how to stop.
 * @param {{width: number, height: number}} sensor @param {(events: Events) => void} send */
export async function fromCamera(sensor, send) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 } }).catch(() => {
    throw new Error("There is no camera, or the browser does not allow it here.");
  });
  const video = Object.assign(document.createElement("video"), { srcObject: stream, muted: true, playsInline: true });
  await video.play();
  const canvas = Object.assign(document.createElement("canvas"), { width: sensor.width, height: sensor.height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  const began = performance.now();
  /** @type {Float32Array | null} */
  let reference = null;
  const timer = setInterval(() => {
    const side = Math.min(video.videoWidth, video.videoHeight);
    context.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, sensor.width, sensor.height);
    const { data } = context.getImageData(0, 0, sensor.width, sensor.height);
    if (!reference) {
      reference = new Float32Array(sensor.width * sensor.height);
      changes(reference.fill(Infinity), data, sensor.width, 0);
    }
    const events = changes(reference, data, sensor.width, Math.round((performance.now() - began) * 1000));
    if (events.t.length) send(events);
  }, 33);
  return () => (clearInterval(timer), stream.getTracks().forEach((track) => track.stop()));
}
