// Calls of the service's API. The key, where the service asks for one, stays in this tab.

const KEY = "snn-key";

/** A failure as the service describes it, or as the browser does where the service cannot be reached. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status @param {string} code @param {string | null} param */
  constructor(message, status, code, param = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

/** @returns {string} */
export const key = () => sessionStorage.getItem(KEY) ?? "";

/** @param {string} value */
export const setKey = (value) => sessionStorage.setItem(KEY, value);

/** @type {Set<() => void>} */
const waiting = new Set();

/** Calls `listener` when a call is refused for want of a key; returns how to stop.
 * @param {() => void} listener */
export function onUnauthorized(listener) {
  waiting.add(listener);
  return () => waiting.delete(listener);
}

/** @returns {Record<string, string>} */
export const authorization = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

/** The response to a call; throws `ApiError` for a failure.
 * @param {string} path @param {RequestInit} [options] */
export async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...authorization(), ...options.headers } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The service does not answer. Is it running?", 0, "unreachable");
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

/** @param {Response} response */
export async function failureOf(response) {
  if (response.status === 401) for (const listener of waiting) listener();
  const body = await response.json().catch(() => null);
  const error = body?.error;
  const again = response.headers.get("Retry-After");
  const message = error?.message ?? `The service answered ${response.status}.`;
  return new ApiError(
    again ? `${message} (try again in ${again} s)` : message,
    response.status,
    error?.code ?? "unknown",
    error?.param ?? null,
  );
}

/** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
export const get = async (path, options) => (await call(path, options)).json();

/** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
export async function send(method, path, body) {
  const content = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return (await call(path, { method, ...content })).json();
}

/** @param {string} model */
export const modelPath = (model) => `/v1/models/${encodeURIComponent(model)}`;
