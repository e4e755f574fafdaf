// What AsyncAPI's own parser has against a document: one line for each error and each warning.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const WARNING = 1; // What is less is advice, such as that there is a newer version of AsyncAPI.

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, path, message } of diagnostics) {
  if (severity <= WARNING) {
    console.log(`${path.join(".")}: ${message}`);
  }
}
process.exitCode = document ? 0 : 1;
