// MODULE FOLDER: writes the vectors that MODULE exports into vectors.json of FOLDER, as a list; vectors.rs runs it.
//
// Each has an id, a text, whether it is no YAML, and the values as a sequence of JSON texts, if JSON has them.
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const [module, folder] = process.argv.slice(2);
const { default: files } = await import(resolve(module));
const vectors = files.flatMap(({ id, cases }) =>
  cases.map(({ yaml, fail = false, json = null }, i) => ({
    id: cases.length > 1 ? `${id}/${i}` : id,
    yaml,
    fail,
    json,
  })),
);
writeFileSync(join(folder, "vectors.json"), JSON.stringify(vectors));
