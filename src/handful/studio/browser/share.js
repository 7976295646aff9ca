// Sharing a model: each way is a piece of work with progress, and ends with links.
import { StudioError, address, download, get, post, waitFor } from "./api.js";
import { $, h, write } from "./build.js";

/** One way to share: its button, its progress, and what came of it. */
class Way {
  constructor(id, key, begin, results) {
    this.row = $(`way-${id}`);
    Object.assign(this, { key: `handful-share-${key}-${id}`, begin, results, button: this.row.querySelector("button") });
    this.words = h("p");
    this.bar = h("progress", { "aria-label": "Progress" });
    this.work = h("div", { class: "work", role: "status", hidden: true }, this.words, this.bar);
    this.links = h("p", { class: "actions links", hidden: true });
    this.error = h("p", { class: "error", role: "alert", hidden: true });
    this.row.append(this.work, this.links, this.error);
    this.row.addEventListener(this.row.querySelector("form") ? "submit" : "click", event => {
      if (event.type === "click" && event.target !== this.button) return;
      event.preventDefault();
      this.start(() => this.begin());
    });
    const before = sessionStorage.getItem(this.key);
    if (before) this.start(() => get("/api/task", { name: before }), true);
  }

  /** Begins work, or follows what was begun before the page was loaded again. */
  async start(begin, again = false) {
    this.button.disabled = true;
    this.links.hidden = this.error.hidden = true;
    try {
      const task = await begin();
      sessionStorage.setItem(this.key, task.name);
      const over = await waitFor(task, task => this.show(task));
      this.links.replaceChildren(...this.results(over));
      this.links.hidden = false;
    } catch (error) {
      if (!(error instanceof StudioError)) throw error;
      sessionStorage.removeItem(this.key);
      write(this.error, error.message);
      this.error.hidden = again;
    } finally {
      this.show(null);
      this.button.disabled = Boolean(this.lacks);
    }
  }

  show(task) {
    this.work.hidden = !task;
    if (!task) return;
    write(this.words, `${task.what} …`);
    if (task.total) { this.bar.max = task.total; this.bar.value = task.done; } else this.bar.removeAttribute("value");
  }

  /** Says why this way is closed, and what to do. */
  close(words) {
    this.lacks = words;
    this.button.disabled = true;
    this.row.append(h("p", { class: "lacks" }, words));
  }
}

const saved = task => address("/api/task/file", { name: task.name });

const fileLink = task => h("a", { class: "button main", href: saved(task), download: task.result.file }, `Save ${task.result.file}`);

const isWeb = text => /^https?:\/\//.test(text);

/** Shows how a model can be shared. Without a run it has no report; `changed` is called once one is written. */
export function showWays(source, run, changed) {
  const license = () => $("license").value.trim() || null;
  const file = ending => () => post("/api/share/export", { source, ending, license: license() });
  const page = task => [h("a", { class: "button main", href: address("/exported", { name: task.name }), target: "_blank", rel: "noopener" }, "Open"),
    h("button", { type: "button", onclick: () => download(saved(task), task.result.file) }, "Save")];
  const ways = {
    report: new Way("report", source, () => post("/api/share/report", { name: run, with_explorer: $("with-explorer").checked }), task => {
      changed();
      return [h("a", { class: "button main", href: address("/report", { name: task.result.report }), target: "_blank", rel: "noopener" }, "Open the report")];
    }),
    page: new Way("page", source, file(".html"), page),
    onnx: new Way("onnx", source, file(".onnx"), task => [fileLink(task)]),
    hub: new Way("hub", source, () => post("/api/share/push", {
      source, repository: $("repository").value, license: license(), public: $("public").checked, pictures: $("with-pictures").checked,
    }), ({ result }) => isWeb(result.address) ? [h("a", { class: "button main", href: result.address, target: "_blank", rel: "noopener noreferrer" }, "Open on the Hub")] : [result.address]),
  };
  $("share").hidden = false;
  $("way-report").hidden = run === null;
  get("/api/share").then(({ lacking, logged_in: loggedIn }) => {
    const install = (names, extra) => `This needs ${names.join(" and ")}. Run in a terminal: pip install 'handful[${extra}]'`;
    if (lacking.onnx.length) ways.onnx.close(install(lacking.onnx, "export"));
    if (lacking.hub.length) ways.hub.close(install(lacking.hub, "hub,export"));
    else if (!loggedIn) ways.hub.close("This machine is not logged in to the Hub. Run in a terminal: hf auth login. Then load this page again.");
  }).catch(error => { if (!(error instanceof StudioError)) throw error; });
}
