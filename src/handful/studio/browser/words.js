// Numbers as people say them.

export const count = number => number.toLocaleString("en");

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function duration(seconds) {
  if (seconds < 90) return plural(Math.max(1, Math.round(seconds)), "second");
  if (seconds < 90 * 60) return plural(Math.round(seconds / 60), "minute");
  if (seconds < 36 * 3600) return plural(Math.round(seconds / 3600), "hour");
  return plural(Math.round(seconds / 86400), "day");
}

export const ago = seconds => seconds < 20 ? "just now" : `${duration(seconds)} ago`;

export const STATES = {
  preparing: "preparing",
  training: "training",
  stopping: "saving and stopping",
  finished: "finished",
  stopped: "stopped",
  interrupted: "ended without saving",
  failed: "did not start",
};

export const isAlive = state => ["preparing", "training", "stopping"].includes(state);
