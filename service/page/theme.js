// The colours of the style sheet, for canvases.

/** @param {Element} element */
export function inkOf(element) {
  const style = getComputedStyle(element);
  const of = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    strong: of("--spike"), soft: of("--spike-soft"), wash: of("--wash"), ground: of("--map"), text: of("--text"),
    quiet: of("--quiet"), line: of("--line"), other: of("--other"),
  };
}
