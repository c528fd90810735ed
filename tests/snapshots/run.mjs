// Runs a phase of `app.py` in Pyodide: `node run.mjs FOLDER_OF_PYODIDE PHASE [FILE]`.
//
// With a FILE, `hold` is a function of JavaScript that writes the linear memory to it, and ends everything.

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, phase, file] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(resolve(folder, "pyodide.mjs")));
const python = await loadPyodide({ indexURL: resolve(folder) });

python.globals.set("write_memory", () => {
    writeFileSync(file, python._module.HEAPU8);
    process.exit();
});
python.FS.writeFile("/app.py", readFileSync(new URL("app.py", import.meta.url)));
python.runPython(`
import sys
sys.path.insert(0, "/")
import app
`);
if (file) {
    python.runPython(`
def hold(frames):
    print(*frames, "", sep="\\n")
    write_memory()
app.hold = hold
`);
}
python.runPython(`app.forever("${phase}")`);
