// MODULE FOLDER: writes each vector that MODULE exports into a file of FOLDER; vectors.rs runs it.
//
// A vector is lines of `key: value`, an empty line, and an age file, which some vectors have compressed.
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { inflateSync } from "node:zlib";

const [module, folder] = process.argv.slice(2);
for (const [name, bytes] of Object.entries(await import(resolve(module)))) {
  const start = Buffer.from(bytes).indexOf("\n\n") + 2;
  const head = Buffer.from(bytes.subarray(0, start));
  const file = bytes.subarray(start);
  const plain = head.includes("compressed: zlib\n") ? inflateSync(file) : file;
  writeFileSync(join(folder, name), Buffer.concat([head, plain]));
}
