// Runs a driver to its end; the last line on stdout is what it heard, as JSON.

module.exports = (run) =>
  run(...process.argv.slice(2)).then(
    // The process ends when all is sent that is to be sent, close packets too.
    (heard) => process.stdout.write(`${JSON.stringify(heard)}\n`),
    (error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
  );
