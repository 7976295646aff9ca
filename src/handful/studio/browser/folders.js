// A small browser of the folders that the studio may look into, for pictures or for models.
import { doing, get } from "./api.js";
import { $, h, write } from "./build.js";
import { plural } from "./words.js";

const FOLDER = "M1.5 3.5h4l1.5 2h7.5v7.5h-13z", FILE = "M3.5 1.5h6l3 3v10h-9z";

function icon(outline) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("aria-hidden", "true");
  path.setAttribute("d", outline);
  drawing.append(path);
  return drawing;
}

const isFile = path => /\.(zip|safetensors)$/i.test(path);

/** What the folder that is open can be used as; empty if as nothing. */
const offers = {
  pictures: folder => folder.pictures ? `Use this folder, ${plural(folder.pictures, "picture")}` : "Use this folder with all in it",
  models: folder => folder.is_model ? "Open the model of this folder" : "",
};

export function browseFolders(kind, use) {
  const open = doing(async path => {
    const folder = await get("/api/folders", { path, models: kind === "models" ? 1 : null });
    const crumbs = [["", "Folders"], ...folder.parents.map(parent => [parent.path, parent.name])];
    $("path").replaceChildren(...crumbs.flatMap(([to, name], index) => [index && h("span", { class: "soft", "aria-hidden": "true" }, "›"),
      h("button", { type: "button", onclick: () => open(to), "aria-current": index === crumbs.length - 1 && "true" }, name)]).filter(Boolean));
    $("folders").replaceChildren(...folder.folders.map(child => h("li", {},
      h("button", { type: "button", onclick: () => isFile(child.path) ? use(child.path) : open(child.path) }, icon(isFile(child.path) ? FILE : FOLDER), child.name,
        kind === "models" && child.is_model && h("span", { class: "soft" }, "model")))));
    if (!folder.folders.length) $("folders").append(h("li", { class: "none" }, folder.pictures || folder.is_model ? "No folders in this one." : "Nothing here."));
    const offer = folder.path ? offers[kind](folder) : "";
    $("use").hidden = !offer;
    write($("use"), offer);
    $("use").onclick = () => use(folder.path);
  });
  $("open-browser").addEventListener("click", () => {
    const show = $("browser").hidden;
    $("browser").hidden = !show;
    $("open-browser").setAttribute("aria-expanded", String(show));
    if (show) open("");
  });
}
