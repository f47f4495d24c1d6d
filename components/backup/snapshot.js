// Takes a VolumeSnapshot of each member's volume, waits until all of them are ready, and then deletes the oldest ones.
// Runs in mongosh for its Node.js, and talks to the Kubernetes API only.

const fs = require("fs");
const https = require("https");

const { SNAPSHOT_CLASS } = process.env;
const CLAIMS = process.env.CLAIMS.split(",");
const LABELS = JSON.parse(process.env.LABELS);
const KEEP = Number(process.env.KEEP);
const READY_MS = Number(process.env.READY_SECONDS) * 1000;
const ERROR_MS = Number(process.env.ERROR_SECONDS) * 1000;
const POLL_MS = 2000;
const REQUEST_MS = 30000;
const NOT_FOUND = 404;
const TOO_MANY_REQUESTS = 429;

// The kubelet renews the token while the pod runs.
const account = (file) => fs.readFileSync(`/var/run/secrets/kubernetes.io/serviceaccount/${file}`, "utf8").trim();
const SNAPSHOTS = `/apis/snapshot.storage.k8s.io/v1/namespaces/${account("namespace")}/volumesnapshots`;

const began = Date.now();
const seconds = () => Math.round((Date.now() - began) / 100) / 10;
const say = (text) => print(`[${seconds().toFixed(1)} s] ${text}`);

// A problem that a person must solve: another try would end the same way.
class Refusal extends Error {}

function request(method, path, body) {
  return new Promise((resolve, reject) => {
    const call = https.request({
      host: process.env.KUBERNETES_SERVICE_HOST,
      port: process.env.KUBERNETES_SERVICE_PORT,
      method,
      path,
      ca: account("ca.crt"),
      timeout: REQUEST_MS,
      headers: { Authorization: `Bearer ${account("token")}`, "Content-Type": "application/json" },
    });
    call.on("timeout", () => call.destroy(new Error(`no answer within ${REQUEST_MS / 1000} s`)));
    call.on("error", (error) => reject(new Error(`${method} ${path}: ${error.message}`)));
    call.on("response", (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("error", reject);
      answer.on("end", () => {
        try {
          resolve(result(method, path, answer.statusCode, Buffer.concat(parts).toString()));
        } catch (error) {
          reject(error);
        }
      });
    });
    call.end(body && JSON.stringify(body));
  });
}

function result(method, path, status, text) {
  // Somebody else may have deleted it meanwhile.
  if (status < 400 || (method === "DELETE" && status === NOT_FOUND)) return JSON.parse(text);
  let why = text;
  try {
    why = JSON.parse(text).message;
  } catch {
    // An API that the cluster does not have answers in plain text.
  }
  const message = `${method} ${path}: ${status} ${why}`;
  throw status < 500 && status !== TOO_MANY_REQUESTS ? new Refusal(message) : new Error(message);
}

// All snapshots that Jobs of this CronJob took, but those on their way out.
async function list() {
  const labels = Object.entries(LABELS).map(([name, value]) => `${name}=${value}`);
  const { items } = await request("GET", `${SNAPSHOTS}?labelSelector=${encodeURIComponent(labels.join(","))}`);
  return items.filter((each) => !each.metadata.deletionTimestamp);
}

const isReady = (snapshot) => Boolean(snapshot && snapshot.status && snapshot.status.readyToUse);
const errorOf = (snapshot) => snapshot.status && snapshot.status.error && (snapshot.status.error.message || "no reason");

async function take() {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "").toLowerCase();
  const names = [];
  for (const claim of CLAIMS) {
    const name = `${claim}-${time}`;
    await request("POST", SNAPSHOTS, {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshot",
      metadata: { name, labels: LABELS },
      spec: { volumeSnapshotClassName: SNAPSHOT_CLASS, source: { persistentVolumeClaimName: claim } },
    });
    names.push(name);
  }
  return names;
}

async function waitUntilReady(names) {
  // Snapshot -> when its error was first seen. The controller tries again, and takes an error back that is over.
  const failing = new Map();
  let reason = "";
  for (;;) {
    try {
      const there = new Map((await list()).map((each) => [each.metadata.name, each]));
      const pending = names.filter((name) => !isReady(there.get(name)));
      if (!pending.length) return;
      for (const name of pending) refuseIfFailed(name, there.get(name), failing);
      const errors = pending.map((name) => errorOf(there.get(name))).filter(Boolean);
      reason = `${pending.join(", ")}: ${errors[0] || "the driver has not said that it is ready"}`;
    } catch (error) {
      if (error instanceof Refusal) throw error;
      // The API server may restart meanwhile.
      reason = error.message;
    }
    if (Date.now() - began > READY_MS) {
      throw new Refusal(`not ready after ${READY_MS / 1000} s, so nothing was deleted: ${reason}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function refuseIfFailed(name, snapshot, failing) {
  if (!snapshot) throw new Refusal(`VolumeSnapshot ${name} was deleted before it was ready`);
  const error = errorOf(snapshot);
  if (!error) {
    failing.delete(name);
    return;
  }
  if (!failing.has(name)) failing.set(name, Date.now());
  if (Date.now() - failing.get(name) >= ERROR_MS) {
    throw new Refusal(`VolumeSnapshot ${name} failed, so nothing was deleted: ${error}`);
  }
}

// Only ready ones count and are deleted: one that failed stays for a person to look at. Those of a member that was removed
// count, too.
async function prune() {
  const newestFirst = (await list())
    .filter(isReady)
    .sort((a, b) => (a.metadata.creationTimestamp < b.metadata.creationTimestamp ? 1 : -1));
  const counts = new Map();
  const isOld = ({ spec: { source } }) => {
    const claim = source.persistentVolumeClaimName;
    counts.set(claim, (counts.get(claim) || 0) + 1);
    return counts.get(claim) > KEEP;
  };
  const old = newestFirst.filter(isOld).map((each) => each.metadata.name);
  for (const name of old) await request("DELETE", `${SNAPSHOTS}/${name}`);
  return old;
}

async function snapshot() {
  const names = await take();
  say(`created ${names.join(", ")}`);
  await waitUntilReady(names);
  say("all are ready");
  const deleted = await prune();
  if (deleted.length) say(`deleted ${deleted.join(", ")}`);
  return { snapshots: names, deleted, seconds: seconds() };
}

// Ends the process. The result, or the reason in one line, is the termination message of the container. The Job tries
// again what ends with 2 or by a signal, but not what ends with 1.
async function end() {
  const stop = (code, line) => {
    fs.writeSync(2, `error: ${line}\n`);
    process.exit(code);
  };
  // The first process of a container gets no signal that it does not handle.
  process.on("SIGTERM", () => stop(143, "interrupted"));
  try {
    const done = JSON.stringify(await snapshot());
    print(done);
    fs.writeFileSync("/dev/termination-log", done);
  } catch (error) {
    stop(error instanceof Refusal ? 1 : 2, String(error.message).replace(/\s+/g, " "));
  }
  process.exit(0);
}

end();
