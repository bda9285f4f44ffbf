// A curve over time, drawn by uPlot.
import { html, useEffect, useRef } from "./lib.js";
import { inkOf } from "./theme.js";

/** @typedef {{name: string, values: (number | null)[]}} Line */

/** @param {{label: string, x: number[], lines: Line[], unit?: string, height?: number}} props */
export function Curve({ label, x, lines, unit = "", height = 110 }) {
  const place = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const data = [x, ...lines.map((line) => line.values)];

  useEffect(() => {
    const UPlot = /** @type {any} */ (window).uPlot;
    const target = place.current;
    if (!UPlot || !target) return undefined;
    const ink = inkOf(target);
    const colours = [ink.strong, ink.other];
    const axis = { stroke: ink.quiet, grid: { stroke: ink.line, width: 1 }, ticks: { show: false }, font: "11px system-ui", size: 34 };
    plot.current = new UPlot(
      {
        width: target.clientWidth,
        height,
        cursor: { show: false },
        legend: { show: false },
        padding: [6, 6, 0, 0],
        scales: { x: { time: false }, y: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
        axes: [{ ...axis, size: 22, values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => `${tick}${unit}`) }, { ...axis, size: 46 }],
        series: [{}, ...lines.map((line, i) => ({ label: line.name, stroke: colours[i % 2], width: 2, points: { show: x.length < 25, size: 4 } }))],
      },
      data,
      target,
    );
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: target.clientWidth, height }));
    resize.observe(target);
    return () => (resize.disconnect(), plot.current?.destroy());
  }, []);
  useEffect(() => {
    plot.current?.setData(data);
  });

  const last = lines.map((line) => `${line.name}: ${line.values.filter((value) => value !== null).at(-1)?.toPrecision(3) ?? "nothing yet"}`);
  return html`<div ref=${place} class="curve" role="img" aria-label=${`${label}. Latest ${last.join("; ")}`}></div>`;
}
