// encrypt RECIPIENT | decrypt IDENTITY: standard input to standard output, with the package age-encryption in the working
// directory's node_modules; typage.rs installs it.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [verb, key] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(process.cwd(), "package.json")));
const { Encrypter, Decrypter } = await import(pathToFileURL(require.resolve("age-encryption")));
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const input = new Uint8Array(Buffer.concat(chunks));
const work = verb === "encrypt" ? new Encrypter() : new Decrypter();
if (verb === "encrypt") work.addRecipient(key);
else work.addIdentity(key);
process.stdout.write(await work[verb](input));
