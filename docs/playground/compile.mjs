// Compiles wheels for the playground's Python, so that no browser has to: `node compile.mjs FOLDER WHEEL ...`.
//
// FOLDER holds Pyodide, and gets `library.zip`: the modules of all the wheels without their sources.

import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

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

const [folder, ...wheels] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`).href);
const python = await loadPyodide({ indexURL: folder });
for (const wheel of wheels) {
  python.unpackArchive(new Uint8Array(await readFile(wheel)), "zip", { extractDir: "library" });
}
python.runPython(COMPILE);
await writeFile(`${folder}/library.zip`, python.FS.readFile("library.zip"));
