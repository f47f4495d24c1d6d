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

// The time that open connections get to end by themselves.
const GRACE_MS = 10_000;

const settings = settingsOrExit();
const log = createLog(settings.logLevel);
const store = settings.store === "mongo" ? new MongoStore(settings.mongo, log) : new MemoryStore();

// As upstream: nothing listens, and no signal is handled, before the one attempt to connect has ended.
try {
  await store.connect();
} catch (error) {
  if (settings.failFast) {
    log.fatal("no connection to the database", { error });
    process.exit(1);
  }
  log.error("no connection to the database; this process cannot save scores until it is restarted", { error });
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

/** As upstream: it refuses new connections at once, so a pod must be out of every endpoint list before SIGTERM. */
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
