// Starts the server of one pod, and ends it on SIGTERM.

import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { createApp } from "./app.js";
import { locate } from "./location.js";
import { createLog } from "./log.js";
import { readPages } from "./pages.js";
import { readSettings } from "./settings.js";
import { MemoryStore } from "./stores/memory.js";
import { MongoStore } from "./stores/mongo.js";

// What open connections are given to end by themselves.
const GRACE_MS = 10_000;

const settings = settingsOrExit();
const log = createLog(settings.logLevel);
const store = settings.store === "mongo" ? new MongoStore(settings.mongo, log) : new MemoryStore();

// As upstream: nothing is served, and no signal is heard, before the one attempt to connect has ended.
try {
  await store.connect();
} catch (error) {
  log.error("no connection to the database; scores cannot be saved until this process is started anew", { error });
}

const pages = readPages(fileURLToPath(new URL("../public", import.meta.url)));
const server = createServer(createApp({ settings, store, locate: () => locate(settings, log), pages, log }));
server.on("error", (error) => {
  log.fatal("cannot listen", { host: settings.host, port: settings.port, error });
  process.exit(1);
});
server.listen(settings.port, settings.host, () => {
  log.info("listening", { host: settings.host, port: server.address().port, store: settings.store });
});
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, stop);

/** As upstream: no new connection from now on, so whoever stops a pod must first see that nobody is sent to it. */
function stop(signal) {
  log.info("stopping", { signal });
  setTimeout(() => {
    log.warn("connections were still open after the grace", { graceMs: GRACE_MS });
    process.exit(1);
  }, GRACE_MS).unref();
  server.close(async () => {
    await store.close();
    process.exit(0);
  });
  // Node 18 leaves them open, newer ones do not.
  server.closeIdleConnections();
}

function settingsOrExit() {
  try {
    return readSettings(process.env);
  } catch (error) {
    process.stderr.write(`pacman: ${error.message}\n`);
    return process.exit(1);
  }
}
