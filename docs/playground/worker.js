// Python in a thread of its own: it loads what stands beside it, and answers one log at a time.
//
// It is told `{log, check}`, the log as bytes. It tells `{ready, links}` once, then
// `{answered, loaded}` for each log, or `{failed}`.

import { loadPyodide } from "./pyodide.mjs";

const FILE = "log.jsonl";

async function body(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response.body;
}

async function bytes(stream) {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Starting Python and importing the library takes seconds; copying the memory of one that has done so does not.
async function start() {
  const library = body("library.zip").then(bytes);
  const memory = body("memory.gz").then((packed) => bytes(packed.pipeThrough(new DecompressionStream("gzip"))));
  const python = await loadPyodide({ indexURL: new URL(".", import.meta.url).href, _loadSnapshot: memory });
  python.FS.writeFile("/library.zip", await library);
  const answer = python.pyimport("answer");
  postMessage({ ready: true, links: JSON.parse(answer.links()) });
  return { python, answer: answer.answer };
}

const started = start();
started.catch((error) => postMessage({ failed: String(error) }));

onmessage = async ({ data }) => {
  try {
    const { python, answer } = await started;
    python.FS.writeFile(FILE, data.log);
    const answered = JSON.parse(answer(FILE, data.check));
    const loaded = performance.getEntriesByType("resource").map((each) => ({
      name: each.name,
      size: each.decodedBodySize,
    }));
    postMessage({ answered, loaded });
  } catch (error) {
    postMessage({ failed: String(error) });
  }
};
