// The environment, read once and checked. Names and defaults are those of `saintdle/pacman`.

const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"];
const STORES = ["memory", "mongo"];

/**
 * The settings of one server.
 *
 * @param {Record<string, string | undefined>} env such as `process.env`
 * @throws {Error} a variable has an illegal value; one line that names it, the value and what is allowed
 */
export function readSettings(env) {
  // As upstream: whoever forgets to set it has a game that works and loses its scores with the pod.
  const store = oneOf(env, "DB_TYPE", STORES, "memory");
  return Object.freeze({
    port: number(env, "PORT", 8080),
    host: env.HOST ?? "0.0.0.0",
    logLevel: oneOf(env, "LOG_LEVEL", LEVELS, "info"),
    version: env.APP_VERSION ?? "dev",
    commit: env.COMMIT_SHA ?? "unknown",
    maxLevel: env.MAX_LEVEL?.trim().toLowerCase() === "unlimited" ? Infinity : number(env, "MAX_LEVEL", 10),
    allowClientOverride: flag(env, "ALLOW_CLIENT_CONFIG_OVERRIDE", true),
    nodeName: env.MY_NODE_NAME ?? "",
    apiHost: env.KUBERNETES_SERVICE_HOST ?? "",
    apiPort: number(env, "KUBERNETES_SERVICE_PORT", 443),
    store,
    failFast: flag(env, "FAIL_FAST_ON_DB_CONNECT", env.NODE_ENV === "production" && store !== "memory"),
    mongo: readMongo(env),
  });
}

function readMongo(env) {
  return Object.freeze({
    // Each of them has the same port.
    hosts: (env.MONGO_NAMESPACE_SERVICE_HOST || env.MONGO_SERVICE_HOST || "localhost")
      .split(",")
      .map((host) => host.trim())
      .filter(Boolean),
    // Not MONGO_PORT: a Service named mongo injects that into every pod, with a URL in it.
    port: number(env, "MY_MONGO_PORT", 27017),
    database: env.MONGO_DATABASE ?? "pacman",
    user: env.MONGO_AUTH_USER ?? "",
    password: env.MONGO_AUTH_PWD ?? "",
    replicaSet: env.MONGO_REPLICA_SET ?? "",
    tls: flag(env, "MONGO_USE_SSL", false),
    validateTls: flag(env, "MONGO_VALIDATE_SSL", true),
    limits: Object.freeze({
      connectTimeoutMS: number(env, "MONGO_CONNECT_TIMEOUT_MS", 10_000),
      serverSelectionTimeoutMS: number(env, "MONGO_SERVER_SELECTION_TIMEOUT_MS", 5_000),
      socketTimeoutMS: number(env, "MONGO_SOCKET_TIMEOUT_MS", 30_000),
      waitQueueTimeoutMS: number(env, "MONGO_WAIT_QUEUE_TIMEOUT_MS", 5_000),
      maxPoolSize: number(env, "MONGO_MAX_POOL_SIZE", 10),
    }),
  });
}

function number(env, name, fallback) {
  const value = env[name] ?? String(fallback);
  const read = Number(value);
  if (!Number.isInteger(read) || read < 1) throw new Error(`${name} is "${value}": must be a whole number, 1 or more`);
  return read;
}

function oneOf(env, name, allowed, fallback) {
  const value = env[name] ?? fallback;
  if (!allowed.includes(value)) throw new Error(`${name} is "${value}": must be one of ${allowed.join(", ")}`);
  return value;
}

function flag(env, name, fallback) {
  const value = env[name];
  return value === undefined ? fallback : ["1", "true", "yes", "on"].includes(value.toLowerCase());
}
