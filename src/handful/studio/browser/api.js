// Asks the studio. What goes wrong is told on the page, in the words of the studio.

const NOT_THERE = "The studio does not answer. Start it again in a terminal: handful studio";
let away = false;

export class StudioError extends Error {}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    away = true;
    tell(NOT_THERE, true);
    throw new StudioError(NOT_THERE);
  }
  if (away) { away = false; tell(""); }
  if (answer.status === 403) {
    const words = await answer.text();
    tell(words, true);
    throw new StudioError(words);
  }
  if (!answer.ok) throw new StudioError((await answer.json().catch(() => ({}))).error ?? `The studio failed (${answer.status}).`);
  return answer;
}

export const address = (path, query = {}) => {
  const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return known.length ? `${path}?${new URLSearchParams(known)}` : path;
};

export const get = async (path, query) => (await ask(address(path, query))).json();

export const post = async (path, body) => (await send(path, JSON.stringify(body))).json();

export const send = (path, body, query) => ask(address(path, query), { method: "POST", body });

/** Shows a line above the page; an empty one hides it. */
export function tell(words, isError = false) {
  const notice = document.getElementById("notice");
  notice.textContent = words;
  notice.hidden = !words;
  notice.classList.toggle("error", isError);
}

/** Runs something a button asks for; an error is told on the page. */
export const doing = action => async (...given) => {
  try {
    tell("");
    return await action(...given);
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    tell(error.message, true);
  }
};

/** Waits for a piece of work, and tells how far it is. */
export async function waitFor(task, show) {
  while (!task.is_over) {
    show(task);
    await new Promise(resolve => setTimeout(resolve, 250));
    task = await get("/api/task", { name: task.name });
  }
  show(null);
  if (task.error) throw new StudioError(task.error);
  return task;
}

/** Lets the studio load what takes seconds, now that the page stands. */
export const warmUp = () => get("/api/ready").catch(() => {});

/** Downloads an address under a name. */
export function download(href, name) {
  const link = document.createElement("a");
  [link.href, link.download] = [href, name];
  link.click();
}

/** Repeats something for as long as the page is looked at; it returns the seconds until the next time. */
export function repeat(action) {
  const turn = async () => {
    let seconds = 3;
    if (!document.hidden) seconds = await action().catch(error => { if (!(error instanceof StudioError)) throw error; }) ?? 3;
    setTimeout(turn, 1000 * seconds);
  };
  return turn();
}
