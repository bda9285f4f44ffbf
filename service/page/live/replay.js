// Sends a recording as its camera would: each event when its time has come.

/** @typedef {import("./recording.js").Events} Events */

const EVERY_MS = 10;

/** @param {Events} events @param {number} from @param {number} to @returns {Events} */
const between = (events, from, to) => ({
  t: events.t.slice(from, to), x: events.x.slice(from, to), y: events.y.slice(from, to), p: events.p.slice(from, to),
});

/** Returns how to stop; `end` is called after the last event.
 * @param {Events} events @param {number} speed @param {(events: Events) => void} send @param {() => void} end */
export function replay(events, speed, send, end) {
  const began = performance.now();
  let next = 0;
  const timer = setInterval(() => {
    const now = events.t[0] + (performance.now() - began) * 1000 * speed;
    let until = next;
    while (until < events.t.length && events.t[until] <= now) until++;
    if (until > next) send(between(events, next, until));
    next = until;
    if (next === events.t.length) {
      clearInterval(timer);
      end();
    }
  }, EVERY_MS);
  return () => clearInterval(timer);
}
