// Runs the documents' code blocks. Only the address and the token are replaced.

const fs = require('fs');
const os = require('os');
const path = require('path');
const { pathToFileURL } = require('url');

const CLIENTS = path.join(__dirname, '..');

// The output of the blocks.
const printed = [];
for (const level of ['log', 'error']) {
  console[level] = (...args) => printed.push([level, ...args]);
}

// The text of a block with these strings replaced. Each must occur exactly once.
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

// Runs a block with these variables. Returns its `socket`, unless that is one of them.
function snippet(file, names, replaced = {}) {
  const result = 'socket' in names ? '' : 'return socket;';
  return new Function(...Object.keys(names), `${text(file, replaced)}\n${result}`)(...Object.values(names));
}

// Runs a block that is a module. Returns its variables of these names. `transports` restricts its `socket.io-client`.
async function imported(file, replaced, names, transports) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'snippet-'));
  try {
    const modules = path.join(dir, 'node_modules');
    if (transports) {
      const client = pathToFileURL(path.join(process.env.NODE_PATH, 'socket.io-client/build/esm-debug/index.js'));
      const wrapper = path.join(modules, 'socket.io-client');
      fs.mkdirSync(wrapper, { recursive: true });
      fs.writeFileSync(path.join(wrapper, 'package.json'), '{"type":"module","exports":"./index.js"}');
      const options = `{ ...options, transports: ${JSON.stringify(transports)} }`;
      const io = `export const io = (url, options) => client.io(url, ${options});\n`;
      fs.writeFileSync(path.join(wrapper, 'index.js'), `import * as client from ${JSON.stringify(client)};\n${io}`);
    } else {
      fs.symlinkSync(process.env.NODE_PATH, modules);
    }
    const copy = path.join(dir, path.basename(file));
    fs.writeFileSync(copy, `${text(file, replaced)}\nexport { ${names.join(', ')} };\n`);
    return await import(pathToFileURL(copy));
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
}

module.exports = { imported, printed, snippet };
