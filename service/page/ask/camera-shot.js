// One picture from the computer's camera.
import { html, useEffect, useRef, useState } from "../lib.js";

/** @param {{onShot: (blob: Blob) => void}} props */
export function CameraShot({ onShot }) {
  const video = useRef(/** @type {HTMLVideoElement | null} */ (null));
  const [stream, setStream] = useState(/** @type {MediaStream | null} */ (null));
  const [message, setMessage] = useState("");

  useEffect(() => {
    if (stream && video.current) video.current.srcObject = stream;
    return () => stream?.getTracks().forEach((track) => track.stop());
  }, [stream]);

  async function open() {
    try {
      setStream(await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } }));
      setMessage("");
    } catch {
      setMessage("There is no camera, or the browser does not allow it here.");
    }
  }

  function take() {
    const from = video.current;
    if (!from) return;
    const side = Math.min(from.videoWidth, from.videoHeight);
    const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
    canvas.getContext("2d")?.drawImage(from, (from.videoWidth - side) / 2, (from.videoHeight - side) / 2, side, side, 0, 0, side, side);
    canvas.toBlob((blob) => blob && onShot(blob), "image/png");
    setStream(null);
  }

  if (!navigator.mediaDevices) return null;
  return html`
    <div class="camera">
      ${stream
        ? html`<video ref=${video} autoplay playsinline muted aria-label="The camera’s picture"></video>
            <div class="row"><button class="primary" onClick=${take}>Take the picture</button><button onClick=${() => setStream(null)}>Stop</button></div>`
        : html`<button onClick=${open}>Use the camera …</button>`}
      ${message && html`<p class="notice small" role="status">${message}</p>`}
    </div>
  `;
}
