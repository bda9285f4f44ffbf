// The ways to ask: draw, drop or paste a file, take an example, or use the camera.
import { html, useEffect, useRef, useState } from "../lib.js";
import { Pad } from "./pad.js";
import { CameraShot } from "./camera-shot.js";
import { examplesFor } from "./examples.js";

/** @typedef {import("./ask.js").Question} Question */

const PICTURES = /\.(png|jpe?g|bmp|webp|tiff?|gif)$/i;

/** @param {File} file @returns {Question} */
function questionOf(file) {
  const isPicture = file.type.startsWith("image/") || PICTURES.test(file.name);
  return { blob: file, name: file.name, kind: isPicture ? "image" : "events", label: file.name };
}

/** @param {{input: any, model: string, onQuestion: (question: Question) => void}} props */
export function Inputs({ input, model, onQuestion }) {
  const takesImages = input?.kind !== "events";
  const [over, setOver] = useState(false);
  const [chosen, setChosen] = useState("");
  const [problem, setProblem] = useState("");
  const picker = useRef(/** @type {HTMLInputElement | null} */ (null));

  /** @param {Question} question */
  function take(question) {
    setChosen(question.label);
    setProblem("");
    onQuestion(question);
  }

  useEffect(() => {
    /** @param {ClipboardEvent} event */
    const paste = (event) => {
      const file = event.clipboardData?.files[0];
      if (file) take(questionOf(file));
    };
    addEventListener("paste", paste);
    return () => removeEventListener("paste", paste);
  }, []);

  /** @param {DragEvent} event */
  function drop(event) {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer?.files[0];
    if (file) take(questionOf(file));
  }

  const examples = examplesFor(model, input);
  return html`
    <div class=${`drop ${over ? "over" : ""}`} onDrop=${drop}
      onDragOver=${(/** @type {DragEvent} */ event) => (event.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)}>
      ${takesImages && html`<${Pad} side=${Math.max(input?.height ?? 28, input?.width ?? 28)} onDrawn=${(/** @type {Blob} */ blob) => take({ blob, name: "drawing.png", kind: "image", label: "your drawing" })} />`}
      <div class="file">
        <button onClick=${() => picker.current?.click()}>Choose a ${takesImages ? "picture" : "recording"} …</button>
        <span class="quiet small">or drop or paste one here</span>
        <input ref=${picker} type="file" hidden tabindex="-1" aria-label="File" data-testid="file"
          onChange=${(/** @type {any} */ event) => {
            const file = event.target.files?.[0];
            if (file) take(questionOf(file));
            event.target.value = "";
          }} />
      </div>
    </div>
    ${examples.length > 0 && html`
      <h2 class="small">Examples</h2>
      <div class="examples">
        ${examples.map((each) => html`<button class="example" aria-pressed=${chosen === each.label} onClick=${() => each.load().then(take, (failure) => setProblem(failure.message))}>
          ${each.picture ? html`<img src=${each.picture} alt="" width="36" height="36" />` : html`<span aria-hidden="true">⠿</span>`}<span>${each.label}</span>
        </button>`)}
      </div>`}
    ${takesImages && html`<${CameraShot} onShot=${(/** @type {Blob} */ blob) => take({ blob, name: "camera.png", kind: "image", label: "the camera’s picture" })} />`}
    ${problem && html`<p class="notice bad" role="alert">${problem}</p>`}
    ${chosen && html`<p class="small">Asked about <b>${chosen}</b></p>`}
  `;
}
