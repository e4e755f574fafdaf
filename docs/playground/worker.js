// Python in a thread of its own: it loads what stands beside it, and answers one log at a time.
//
// It is told `{log, check}`, the log as bytes. It tells `{ready, links}` once, then
// `{answered, loaded}` for each log, or `{failed}`.

import { loadPyodide } from "./pyodide.mjs";

const FILE = "log.jsonl";

async function bytes(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response.arrayBuffer();
}

async function start() {
  const [python, library, program] = await Promise.all([
    loadPyodide({ indexURL: new URL(".", import.meta.url).href }),
    bytes("library.zip"),
    bytes("answer.py"),
  ]);
  python.unpackArchive(library, "zip", { extractDir: python.runPython("import site; site.getsitepackages()[0]") });
  const own = python.toPy({ __name__: "answer" });
  python.runPython(new TextDecoder().decode(program), { globals: own });
  const links = JSON.parse(own.get("links")());
  postMessage({ ready: true, links });
  return { python, answer: own.get("answer") };
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
