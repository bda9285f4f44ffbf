// The API's description, as /openapi.json has it, in Swagger UI.
const KEY = "snn-key";
const form = /** @type {HTMLFormElement} */ (document.getElementById("key-form"));

/** @returns {Record<string, string>} */
const authorization = () => {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
};

async function show() {
  const response = await fetch("/openapi.json", { headers: authorization() });
  form.hidden = response.status !== 401;
  if (response.status === 401) return;
  const spec = await response.json();
  /** @type {any} */ (window).SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    requestInterceptor: (/** @type {any} */ request) => {
      request.headers = { ...authorization(), ...request.headers };
      return request;
    },
  });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (document.getElementById("key"));
  sessionStorage.setItem(KEY, field.value.trim());
  await show();
  const message = document.getElementById("message");
  if (message) message.textContent = form.hidden ? "" : "The service does not accept this key.";
});

show();
