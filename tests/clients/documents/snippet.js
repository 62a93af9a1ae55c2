// The documents' code blocks, run as they are printed; the address and the token alone are ours.

const fs = require('fs');
const os = require('os');
const path = require('path');
const { pathToFileURL } = require('url');

const CLIENTS = path.join(__dirname, '..');

// What the blocks print.
const printed = [];
for (const how of ['log', 'error']) {
  console[how] = (...args) => printed.push([how, ...args]);
}

// The text of a block, each of these strings, which it has once, replaced.
function text(file, replaced) {
  let block = fs.readFileSync(path.join(CLIENTS, file), 'utf8');
  for (const [from, to] of Object.entries(replaced)) {
    const parts = block.split(`'${from}'`);
    if (parts.length !== 2) throw new Error(`${file} has '${from}' ${parts.length - 1} times`);
    block = parts.join(`'${to}'`);
  }
  return block;
}

// Runs a block that stands among others, where these names are known; its `socket`.
function snippet(file, names, replaced = {}) {
  const known = 'socket' in names ? '' : 'return socket;';
  return new Function(...Object.keys(names), `${text(file, replaced)}\n${known}`)(...Object.values(names));
}

// Runs a block that is a module by itself; its `socket`.
async function imported(file, replaced) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'snippet-'));
  try {
    fs.symlinkSync(process.env.NODE_PATH, path.join(dir, 'node_modules'));
    const place = path.join(dir, path.basename(file));
    fs.writeFileSync(place, `${text(file, replaced)}\nexport { socket };\n`);
    return (await import(pathToFileURL(place))).socket;
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
}

module.exports = { imported, printed, snippet };
