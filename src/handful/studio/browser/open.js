// Opening a model: a file that is dropped or chosen, or one in a folder of this machine.
import { StudioError, address, send } from "./api.js";
import { $, write } from "./build.js";
import { browseFolders } from "./folders.js";
import { onDrop } from "./upload.js";

const WEIGHTS = /\.safetensors$/i;

const explore = source => location.assign(address("/explore", { source }));

function complain(words) {
  write($("opening-error"), words);
  $("opening-error").hidden = !words;
}

async function take({ name, files }) {
  complain("");
  const weights = files.filter(file => WEIGHTS.test(file.name));
  try {
    if (!weights.length) throw new StudioError("This is no model file. Those of handful end in .safetensors. To train on pictures, press New run.");
    $("upload").hidden = false;
    write($("upload-words"), `Taking ${weights[0].name} …`);
    const file = name ? `${name}.safetensors` : weights[0].name;
    const { source } = await (await send("/api/models/drop", weights[0], { file })).json();
    explore(source);
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    complain(error.message);
  } finally {
    $("upload").hidden = true;
  }
}

export function takeModels() {
  const dialog = $("opening");
  const open = () => { if (!dialog.open) { complain(""); dialog.showModal(); } };
  $("open").addEventListener("click", open);
  $("file").addEventListener("change", () => {
    const files = [...$("file").files];
    $("file").value = "";
    take({ name: "", files });
  });
  onDrop($("drop"), async given => { const found = await given; open(); await take(found); });
  browseFolders("models", explore);
}
