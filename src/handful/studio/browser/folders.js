// A small browser of the folders that the studio may look into.
import { doing, get } from "./api.js";
import { $, h, write } from "./build.js";
import { plural } from "./words.js";

const ICON = "M1.5 3.5h4l1.5 2h7.5v7.5h-13z";

function icon() {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICON);
  drawing.append(path);
  return drawing;
}

export function browseFolders(use) {
  const open = doing(async path => {
    const folder = await get("/api/folders", { path });
    const crumbs = [["", "Folders"], ...folder.parents.map(parent => [parent.path, parent.name])];
    $("path").replaceChildren(...crumbs.flatMap(([to, name], index) => [index && h("span", { class: "soft", "aria-hidden": "true" }, "›"),
      h("button", { onclick: () => open(to), "aria-current": index === crumbs.length - 1 && "true" }, name)]).filter(Boolean));
    $("folders").replaceChildren(...folder.folders.map(child => h("li", {},
      h("button", { onclick: () => child.path.toLowerCase().endsWith(".zip") ? use(child.path) : open(child.path) }, icon(), child.name))));
    if (!folder.folders.length) $("folders").append(h("li", { class: "none" }, folder.pictures ? "No folders in this one." : "Nothing here."));
    $("use").hidden = !folder.path;
    write($("use"), folder.pictures ? `Use this folder, ${plural(folder.pictures, "picture")}` : "Use this folder with all in it");
    $("use").onclick = () => use(folder.path);
  });
  $("open-browser").addEventListener("click", () => {
    const show = $("browser").hidden;
    $("browser").hidden = !show;
    $("open-browser").setAttribute("aria-expanded", String(show));
    if (show) open("");
  });
}
