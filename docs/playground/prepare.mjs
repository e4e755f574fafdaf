// Prepares the library for the playground's Python, so that no browser has to: `node prepare.mjs FOLDER WHEEL ...`.
//
// FOLDER holds Pyodide. It gets `library.zip`, the compiled modules of the wheels and of `answer.py`, and `memory.gz`,
// the memory of a Python that has imported them.

import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

const COMPILE = `
import compileall
import py_compile
import shutil
from pathlib import Path

# A time in a compiled file would be compared with that of its source, which is not there.
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
if not compileall.compile_dir("library", quiet=1, legacy=True, invalidation_mode=mode):
    raise SystemExit("a module cannot be compiled")
for source in Path("library").rglob("*.py"):
    source.unlink()
shutil.make_archive("library", "zip", "library")
`;

// Whatever an answer imports late is then imported, too.
const IMPORT = `
import os
import sys

sys.path.append("/library.zip")

import answer

for check in (False, True):
    answer.answer("log.jsonl", check)
os.remove("log.jsonl")
`;

const [folder, ...wheels] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`).href);
const beside = (name) => readFile(new URL(name, import.meta.url));

const compiler = await loadPyodide({ indexURL: folder });
for (const wheel of wheels) {
  compiler.unpackArchive(new Uint8Array(await readFile(wheel)), "zip", { extractDir: "library" });
}
compiler.FS.writeFile("library/answer.py", await beside("answer.py"));
compiler.runPython(COMPILE);
const library = compiler.FS.readFile("library.zip");
await writeFile(`${folder}/library.zip`, library);

const python = await loadPyodide({ indexURL: folder, _makeSnapshot: true });
python.FS.writeFile("/library.zip", library);
python.FS.writeFile("log.jsonl", await beside("example.jsonl"));
python.runPython(IMPORT);
const memory = python.makeMemorySnapshot();
// A memory that does not fit into that of a Python that starts fails here, and not in a browser.
await loadPyodide({ indexURL: folder, _loadSnapshot: memory });
await writeFile(`${folder}/memory.gz`, gzipSync(memory));
