// The latest events as a picture that fades.

/** @typedef {import("./recording.js").Events} Events */

/** @param {CanvasRenderingContext2D} context */
export function fade(context) {
  context.fillStyle = "rgb(16 18 22 / 12%)";
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
}

/** @param {CanvasRenderingContext2D} context @param {Events} events */
export function mark(context, events) {
  for (let i = 0; i < events.t.length; i++) {
    context.fillStyle = events.p[i] ? "#f0a028" : "#5096fa";
    context.fillRect(events.x[i], events.y[i], 1, 1);
  }
}
