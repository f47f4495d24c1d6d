// The environment, read once and checked, under the names that `saintdle/pacman` gives to it.

const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"];
const STORES = ["memory", "mongo"];

/**
 * The settings of one server.
 *
 * @param {Record<string, string | undefined>} env such as `process.env`
 * @throws {Error} a variable has an illegal value; one line that names it, the value and what is allowed
 */
export function readSettings(env) {
  return Object.freeze({
    port: number(env, "PORT", 8080),
    host: env.HOST ?? "0.0.0.0",
    logLevel: oneOf(env, "LOG_LEVEL", LEVELS, "info"),
    version: env.APP_VERSION ?? "dev",
    commit: env.COMMIT_SHA ?? "unknown",
    maxLevel: env.MAX_LEVEL?.trim().toLowerCase() === "unlimited" ? Infinity : number(env, "MAX_LEVEL", 10),
    nodeName: env.MY_NODE_NAME ?? "",
    apiHost: env.KUBERNETES_SERVICE_HOST ?? "",
    apiPort: number(env, "KUBERNETES_SERVICE_PORT", 443),
    // As upstream: whoever forgets to set it has a game that works and loses its scores with the pod.
    store: oneOf(env, "DB_TYPE", STORES, "memory"),
    mongo: Object.freeze({
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
