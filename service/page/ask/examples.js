// Examples for a model: digits drawn from strokes, clothes of Fashion-MNIST, and a recording.

import { call } from "../api.js";

/** @typedef {import("./ask.js").Question} Question */
/** @typedef {{label: string, picture: string | null, load: () => Promise<Question>}} Example */

/** The files in /page/examples, by the kind of model that they are for. */
const CLOTHES = ["sneaker", "trouser", "bag", "dress"];
const DIGITS = ["seven", "three", "five"];

/** @param {string} folder @param {string} name @returns {Example} */
function picture(folder, name) {
  const url = `/page/examples/${folder}-${name}.png`;
  return {
    label: name,
    picture: url,
    load: async () => ({ blob: await (await call(url)).blob(), name: `${name}.png`, kind: "image", label: name }),
  };
}

/** @param {string} model @param {any} input @returns {Example[]} */
export function examplesFor(model, input) {
  if (input?.kind === "events") {
    const url = "/page/examples/saccade-zero.bin";
    const label = "a zero, by an event camera";
    return [{ label, picture: null, load: async () => ({ blob: await (await call(url)).blob(), name: "recording.bin", kind: "events", label }) }];
  }
  if (model.includes("fashion")) return CLOTHES.map((name) => picture("fashion", name));
  return DIGITS.map((name) => picture("digit", name));
}
