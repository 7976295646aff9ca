// Builds elements. Names of runs and files may be a stranger's, so they only ever become text.

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = id => document.getElementById(id);

/** Replaces what is in an element; a button in it that has the focus hands it to the one in its place. */
export function refill(element, children) {
  const held = [...element.querySelectorAll("button, a")].indexOf(document.activeElement);
  element.replaceChildren(...children);
  if (held < 0) return;
  const buttons = [...element.querySelectorAll("button, a")];
  buttons[Math.min(held, buttons.length - 1)]?.focus();
}

/** Changes a text only where it differs, so that a screen reader is not told twice. */
export const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
