// Pictures that are dropped or chosen: sent one after the other, with progress.
import { StudioError, doing, post, send } from "./api.js";
import { $, write } from "./build.js";
import { plural } from "./words.js";

const MOST = 5000, LARGEST = 100e6, LARGEST_ZIP = 2e9;
const WANTED = /\.(jpe?g|jpe|jfif|png|webp|avif|bmp|tiff?|gif|zip)$/i;

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader(), files = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return files;
    for (const child of entries) files.push(...await filesOf(child));
    if (files.length > MOST) return files;
  }
}

/** Returns the files that were dropped, and the name of their folder if it was one. */
export async function dropped(data) {
  const entries = [...data.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return { name: "", files: [...data.files] };
  const files = [];
  for (const entry of entries) files.push(...await filesOf(entry));
  return { name: entries.length === 1 && entries[0].isDirectory ? entries[0].name : "", files };
}

async function take({ name, files }, use) {
  const wanted = files.filter(file => WANTED.test(file.name));
  if (!wanted.length) throw new StudioError("None of these is a picture or a zip that handful reads: JPEG, PNG, WebP, TIFF, AVIF, BMP, GIF.");
  if (wanted.length > MOST) throw new StudioError(`These are more than ${MOST} files. Use a folder of this computer instead.`);
  const large = wanted.find(file => file.size > (/\.zip$/i.test(file.name) ? LARGEST_ZIP : LARGEST));
  if (large) throw new StudioError(`${large.name} is too large to be dropped: at most 100 MB a picture and 2 GB a zip. Use a folder of this computer instead.`);
  const zip = wanted.length === 1 && /\.zip$/i.test(wanted[0].name);
  const { set } = await post("/api/set", { name: name || (zip ? wanted[0].name.replace(/\.zip$/i, "") : "pictures") });
  $("upload").hidden = false;
  $("upload-bar").max = wanted.reduce((sum, file) => sum + file.size, 0) || 1;
  let sent = 0, source = "";
  const names = new Set();
  try {
    for (const [index, file] of wanted.entries()) {
      write($("upload-words"), `Taking ${plural(wanted.length, "file")}: ${index + 1}, ${file.name}`);
      const name = names.has(file.name) ? `${index} ${file.name}` : file.name;
      names.add(file.name);
      source = (await (await send("/api/upload", file, { set, file: name })).json()).source;
      $("upload-bar").value = sent += file.size;
    }
  } finally {
    $("upload").hidden = true;
  }
  use(source);
}

/** Calls a function with what is dropped anywhere on the page; an element shows that it would be taken. */
export function onDrop(element, use) {
  for (const name of ["dragover", "dragenter"]) addEventListener(name, event => { event.preventDefault(); element.classList.add("over"); });
  addEventListener("dragleave", event => { if (!event.relatedTarget) element.classList.remove("over"); });
  addEventListener("drop", doing(event => {
    event.preventDefault();
    element.classList.remove("over");
    return use(dropped(event.dataTransfer));
  }));
}

export function takeUploads(use) {
  $("files").addEventListener("change", doing(async () => {
    const files = [...$("files").files];
    $("files").value = "";
    await take({ name: "", files }, use);
  }));
  onDrop($("drop"), async given => { if (!$("choose").hidden) await take(await given, use); });
}
