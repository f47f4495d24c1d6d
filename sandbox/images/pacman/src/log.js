// One JSON object a line on standard output, where the container runtime picks it up.

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];

/**
 * A log with a method for each level.
 *
 * Errors are written by their message alone. No caller passes settings, headers or bodies: they hold credentials.
 *
 * @param {string} least the lowest level that is written; `silent` writes none
 * @param {NodeJS.WritableStream} out
 */
export function createLog(least, out = process.stdout) {
  const first = least === "silent" ? LEVELS.length : LEVELS.indexOf(least);
  const write = (level) => (msg, fields = {}) => {
    if (LEVELS.indexOf(level) < first) return;
    const { error, ...rest } = fields;
    const line = { level, time: new Date().toISOString(), msg, ...rest, ...(error && { error: error.message }) };
    out.write(`${JSON.stringify(line)}\n`);
  };
  return Object.fromEntries(LEVELS.map((level) => [level, write(level)]));
}
