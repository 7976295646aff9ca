// Pictures that are dropped or chosen: sent one after the other, with progress.
import { StudioError, doing, post, send } from "./api.js";
import { $, write } from "./build.js";
import { plural } from "./words.js";

const MOST = 5000;
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

async function dropped(data) {
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

export function takeUploads(use) {
  const drop = $("drop");
  $("files").addEventListener("change", doing(async () => {
    const files = [...$("files").files];
    $("files").value = "";
    await take({ name: "", files }, use);
  }));
  for (const name of ["dragover", "dragenter"]) addEventListener(name, event => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", event => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", doing(async event => {
    event.preventDefault();
    drop.classList.remove("over");
    if (!$("choose").hidden) await take(await dropped(event.dataTransfer), use);
  }));
}
