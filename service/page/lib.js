// Everything of the libraries that the page uses, in one place.
export {
  html,
  render,
  useState,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
} from "./vendor/htm-3.1.1/standalone.module.js";
