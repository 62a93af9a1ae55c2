// Runs a driver to its end. The last line on stdout is its results, as JSON.

module.exports = (run) =>
  run(...process.argv.slice(2)).then(
    // No process.exit here: the process ends when all packets are sent, close packets too.
    (results) => process.stdout.write(`${JSON.stringify(results)}\n`),
    (error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
  );
