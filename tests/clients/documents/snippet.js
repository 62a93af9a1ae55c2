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
    const quote = block.includes(`"${from}"`) ? '"' : "'";
    const parts = block.split(quote + from + quote);
    if (parts.length !== 2) throw new Error(`${file} has ${from} ${parts.length - 1} times`);
    block = parts.join(quote + to + quote);
  }
  return block;
}

// Runs a block that stands among others, where these names are known; its `socket`.
function snippet(file, names, replaced = {}) {
  const known = 'socket' in names ? '' : 'return socket;';
  return new Function(...Object.keys(names), `${text(file, replaced)}\n${known}`)(...Object.values(names));
}

// Runs a block that is a module by itself; what it calls by these names. With `transports`, its `socket.io-client` is held
// to them.
async function imported(file, replaced, names, transports) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'snippet-'));
  try {
    const modules = path.join(dir, 'node_modules');
    if (transports) {
      const client = pathToFileURL(path.join(process.env.NODE_PATH, 'socket.io-client/build/esm-debug/index.js'));
      const held = path.join(modules, 'socket.io-client');
      fs.mkdirSync(held, { recursive: true });
      fs.writeFileSync(path.join(held, 'package.json'), '{"type":"module","exports":"./index.js"}');
      const options = `{ ...options, transports: ${JSON.stringify(transports)} }`;
      const io = `export const io = (url, options) => client.io(url, ${options});\n`;
      fs.writeFileSync(path.join(held, 'index.js'), `import * as client from ${JSON.stringify(client)};\n${io}`);
    } else {
      fs.symlinkSync(process.env.NODE_PATH, modules);
    }
    const place = path.join(dir, path.basename(file));
    fs.writeFileSync(place, `${text(file, replaced)}\nexport { ${names.join(', ')} };\n`);
    return await import(pathToFileURL(place));
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
}

module.exports = { imported, printed, snippet };
