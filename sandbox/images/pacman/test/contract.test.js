// The HTTP and environment contract, against the real process with scores in memory.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { connect } from "node:net";
import { hostname } from "node:os";
import test from "node:test";

import { readSettings } from "../src/settings.js";
import { mongoAddress } from "../src/stores/mongo.js";
import { ask, freePort, launch, post, serve } from "./server.js";

const SCORE = { name: "Ada", cloud: "k3s", zone: "a", host: "pod", score: "120", level: "1" };

test("the page is complete and asks no other host", async (t) => {
  const server = await serve(t);
  const page = await fetch(`${server.url}/`);
  assert.equal(page.status, 200);
  assert.match(page.headers.get("content-type"), /^text\/html/);
  assert.match(page.headers.get("content-security-policy"), /default-src 'self'/);
  const html = await page.text();
  const files = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map((match) => match[1]);
  assert.ok(files.includes("js/main.js"));
  for (const file of files) {
    assert.doesNotMatch(file, /^(\w+:|\/)/, "relative, so that it can be served under a path");
    assert.equal((await fetch(`${server.url}/${file}`)).status, 200, file);
  }
});

test("a path that does not exist is answered with an HTML page and status 404", async (t) => {
  const server = await serve(t);
  for (const [method, path] of [["GET", "/none"], ["PUT", "/highscores"], ["POST", "/healthz"]]) {
    const response = await fetch(server.url + path, { method });
    assert.equal(response.status, 404, path);
    assert.match(response.headers.get("content-type"), /^text\/html/);
    assert.match(await response.text(), /<h1>Not Found<\/h1>/);
  }
});

test("no file outside of the page's folder can be asked for", async (t) => {
  const { port } = await serve(t);
  for (const path of ["/none", "/package.json", "/../package.json", "/js/../../src/app.js", "/%2e%2e/package.json"]) {
    // Not fetch, which would take the dots out.
    const request = http.get({ host: "127.0.0.1", port, path });
    const [response] = await once(request, "response");
    response.resume();
    assert.equal(response.statusCode, 404, path);
  }
});

test("/healthz tells the version, /readyz whether the store answers", async (t) => {
  const server = await serve(t, { APP_VERSION: "1.2.3", COMMIT_SHA: "abc" });
  assert.deepEqual(await ask(server, "/healthz"), {
    status: 200,
    body: { status: "ok", version: "1.2.3", commit: "abc" },
  });
  assert.deepEqual(await ask(server, "/readyz"), { status: 200, body: { status: "ready" } });
});

test("a score is answered and listed, as a form and as JSON", async (t) => {
  const server = await serve(t);
  const saved = { name: "Ada", zone: "a", score: 120, level: 1, rs: "success" };
  assert.deepEqual(await post(server, "/highscores", SCORE), { status: 200, body: saved });
  const json = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(SCORE) };
  assert.deepEqual(await ask(server, "/highscores", json), { status: 200, body: saved });
  const { body } = await ask(server, "/highscores/list");
  assert.deepEqual(body, Array(2).fill({ name: "Ada", cloud: "k3s", zone: "a", host: "pod", score: 120 }));
});

test("the ten best are listed, best first, and the others page by page", async (t) => {
  const server = await serve(t);
  for (const score of [5, 120, 30, 70, 60, 10, 90, 80, 20, 110, 100, 40, 50]) {
    await post(server, "/highscores", { ...SCORE, score });
  }
  const scores = async (query) => (await ask(server, `/highscores/list${query}`)).body;
  const points = (list) => list.map(({ score }) => score);
  assert.deepEqual(points(await scores("")), [120, 110, 100, 90, 80, 70, 60, 50, 40, 30]);
  const { items, ...second } = await scores("?page=2&pageSize=10");
  assert.deepEqual(points(items), [20, 10, 5]);
  assert.deepEqual(second, { page: 2, pageSize: 10, total: 13, totalPages: 2 });
});

test("the players of a load generator are left out of a list on request", async (t) => {
  const server = await serve(t);
  await post(server, "/highscores", { ...SCORE, name: "sim7" });
  await post(server, "/highscores", { ...SCORE, name: "simone" });
  const names = async (query) => (await ask(server, `/highscores/list${query}`)).body.items.map(({ name }) => name);
  assert.deepEqual(await names("?includeSimulated=true"), ["sim7", "simone"]);
  assert.deepEqual(await names("?includeSimulated=false"), ["simone"]);
});

test("a score that cannot be true is refused and not listed", async (t) => {
  const server = await serve(t);
  const refused = [
    [{ score: "many" }, "score must be a number"],
    [{ level: "0" }, "invalid level"],
    [{ level: "11" }, "invalid level"],
    [{ score: "2841" }, "score is implausible for level"],
    [{ score: "5681", level: "2" }, "score is implausible for level"],
  ];
  for (const [change, error] of refused) {
    const answer = await post(server, "/highscores", { ...SCORE, ...change });
    assert.deepEqual(answer, { status: 400, body: { error } });
  }
  assert.deepEqual((await ask(server, "/highscores/list")).body, []);
  for (const change of [{ score: "2840" }, { score: "28400", level: "10" }]) {
    assert.equal((await post(server, "/highscores", { ...SCORE, ...change })).body.rs, "success");
  }
});

test("MAX_LEVEL moves the limit of a score, and GET /config tells the page", async (t) => {
  const low = await serve(t, { MAX_LEVEL: "2", APP_VERSION: "1.2.3" });
  assert.equal((await post(low, "/highscores", { ...SCORE, level: "3" })).status, 400);
  assert.deepEqual((await ask(low, "/config")).body, {
    maxLevel: 2,
    allowClientOverride: true,
    ebeeMode: false,
    allowEbeeModeOverride: true,
    appRole: "web",
    appVersion: "1.2.3",
    appVariant: "stable",
    appColor: "#ffcc00",
    liveStatsPageSize: 10,
    simulatedUsersEnabled: false,
  });
  const none = await serve(t, { MAX_LEVEL: "unlimited" });
  assert.equal((await post(none, "/highscores", { ...SCORE, level: "300" })).body.rs, "success");
  assert.equal((await ask(none, "/config")).body.maxLevel, "unlimited");
});

test("POST /config checks a player's setting and changes nothing on the server", async (t) => {
  const server = await serve(t);
  const before = await ask(server, "/config");
  const allowed = await post(server, "/config", { maxLevel: "20", ebeeMode: "true" });
  assert.deepEqual(allowed, { status: 200, body: { rs: "success", maxLevel: 20, ebeeMode: true } });
  assert.equal((await post(server, "/config", { maxLevel: "unlimited" })).body.maxLevel, "unlimited");
  for (const wrong of [{ maxLevel: "0" }, { maxLevel: "many" }, { ebeeMode: "1" }]) {
    assert.equal((await post(server, "/config", wrong)).status, 400);
  }
  assert.deepEqual(await ask(server, "/config"), before);
  const locked = await serve(t, { ALLOW_CLIENT_CONFIG_OVERRIDE: "false" });
  assert.equal((await post(locked, "/config", { maxLevel: "5" })).status, 403);
});

test("the endpoints that are not for players answer on the same port", async (t) => {
  const server = await serve(t, { APP_VERSION: "1.2.3" });
  const paths = ["/readyz/details", "/version", "/config/schema", "/metrics", "/demo/status", "/internal/config/read"];
  paths.push("/internal/score/read", "/internal/user/session", "/internal/user/stats");
  for (const path of paths) assert.equal((await ask(server, path)).status, 200, path);
  assert.equal((await ask(server, "/version")).body.version, "1.2.3");
  const { status, database } = (await ask(server, "/readyz/details")).body;
  assert.deepEqual({ status, database }, { status: "ready", database: { type: "memory", healthy: true } });
  const { body: metrics } = await ask(server, "/metrics");
  assert.match(metrics, /^pacman_http_requests_total\{.*route="\/version",status="200"\} 2$/m);
});

test("/internal/score/write saves a score, and does so in any case and with a slash at the end", async (t) => {
  const server = await serve(t);
  for (const path of ["/internal/score/write", "/INTERNAL/Score/Write", "/internal/score/write/"]) {
    assert.equal((await post(server, path, SCORE)).body.rs, "success", path);
  }
  assert.equal((await ask(server, "/highscores/list")).body.length, 3);
});

test("the demo endpoints refuse their public default token", async (t) => {
  const server = await serve(t);
  for (const path of ["/demo/incidents", "/demo/incidents/file-probe", "/demo/incidents/exec-probe"]) {
    assert.equal((await post(server, path, {}, { "x-demo-token": "pacman-demo" })).status, 403, path);
  }
});

test("every request and probe is logged at info, and nothing of them at warn", async (t) => {
  const loud = await serve(t);
  const quiet = await launch(t, { LOG_LEVEL: "warn" });
  while (!(await fetch(`${quiet.url}/healthz`).catch(() => null))) await new Promise((go) => setTimeout(go, 50));
  for (const server of [loud, quiet]) {
    for (const path of ["/readyz", "/highscores/list", "/none"]) await ask(server, path);
    await post(server, "/highscores", SCORE);
  }
  while (!loud.output.includes('"url":"/highscores"')) await once(loud.child.stdout, "data");
  for (const url of ["/readyz", "/highscores/list", "/none"]) {
    assert.match(loud.output, new RegExp(`"level":"info".*"request completed".*"url":"${url}"`));
  }
  assert.equal(quiet.output, "");
});

test("a body that cannot be read is answered with 400 or 413", async (t) => {
  const server = await serve(t);
  const broken = { method: "POST", headers: { "content-type": "application/json" }, body: "{" };
  assert.equal((await ask(server, "/highscores", broken)).status, 400);
  assert.equal((await post(server, "/highscores", { name: "x".repeat(200_000) })).status, 413);
  assert.equal((await ask(server, "/healthz")).status, 200);
});

test("a user gets an id, and is listed once it has statistics", async (t) => {
  const server = await serve(t);
  const { body: userId } = await ask(server, "/user/id?name=Ada");
  assert.equal(typeof userId, "string");
  assert.deepEqual((await ask(server, "/user/stats")).body, []);
  const sent = { cloud: "k3s", zone: "a", host: "pod", score: 7, level: 1, lives: 3 };
  const stats = { userId, name: "Ada", ...sent, elapsedTime: 9 };
  assert.deepEqual(await post(server, "/user/stats", stats), { status: 200, body: { rs: "success" } });
  await post(server, "/user/stats", stats);
  const [{ date, ...user }] = (await ask(server, "/user/stats")).body;
  assert.deepEqual(user, { id: userId, name: "Ada", ...sent, et: 9, txncount: 2 });
  assert.deepEqual(await post(server, "/user/stats", {}), { status: 400, body: { error: "userId required" } });
});

test("outside of a cluster the location is unknown, but for the host", async (t) => {
  const server = await serve(t, { MY_NODE_NAME: "minikube" });
  assert.deepEqual((await ask(server, "/location/metadata")).body, {
    cloud: "unknown",
    zone: "unknown",
    host: hostname(),
  });
});

test("SIGTERM closes the listener at once, and the process ends with its last connection", async (t) => {
  const server = await serve(t);
  const socket = connect(server.port, "127.0.0.1");
  // Half a request: a connection that is in use.
  socket.write("GET /healthz HTTP/1.1\r\nHost: pacman\r\nConnection: close\r\n");
  await once(socket, "connect");
  await ask(server, "/healthz");
  server.child.kill("SIGTERM");
  while (!server.output.includes('"stopping"')) await once(server.child.stdout, "data");
  await assert.rejects(fetch(`${server.url}/healthz`), "a new connection is refused");
  assert.equal(server.child.exitCode, null);
  socket.write("\r\n");
  const [reply] = await once(socket, "data");
  assert.match(String(reply), /^HTTP\/1.1 200/);
  assert.deepEqual(await server.exited, [0, null]);
});

test("a connection that stays open is cut after ten seconds", async (t) => {
  const server = await serve(t);
  const socket = connect(server.port, "127.0.0.1").on("error", () => {});
  socket.write("GET /healthz HTTP/1.1\r\n");
  await once(socket, "connect");
  await ask(server, "/healthz");
  const begin = performance.now();
  server.child.kill("SIGTERM");
  assert.deepEqual(await server.exited, [1, null]);
  const seconds = (performance.now() - begin) / 1000;
  assert.ok(seconds > 9.5 && seconds < 12, `${seconds} s`);
});

test("a setting that is not understood is one line that says what is allowed", async (t) => {
  const wrong = [
    [{ DB_TYPE: "postgres" }, 'pacman: DB_TYPE is "postgres": must be one of memory, mongo\n'],
    [{ MY_MONGO_PORT: "tcp://10.0.0.1:27017" }, /^pacman: MY_MONGO_PORT is "tcp:.*": must be a whole number.*\n$/],
    [{ LOG_LEVEL: "loud" }, /^pacman: LOG_LEVEL is "loud": must be one of .*\n$/],
    [{ MAX_LEVEL: "0" }, /^pacman: MAX_LEVEL is "0": must be a whole number, 1 or more\n$/],
  ];
  for (const [environment, line] of wrong) {
    const server = await launch(t, environment);
    assert.deepEqual(await server.exited, [1, null]);
    if (typeof line === "string") assert.equal(server.output, line);
    else assert.match(server.output, line);
  }
});

test("a port that is in use ends the process", async (t) => {
  const first = await serve(t);
  const second = await launch(t, { PORT: String(first.port) });
  assert.deepEqual(await second.exited, [1, null]);
  assert.match(second.output, /cannot listen.*EADDRINUSE/);
});

test("the environment makes the database's address, with the credentials beside it", () => {
  const { mongo } = readSettings({
    MONGO_SERVICE_HOST: "mongo-0.mongo, mongo-1.mongo",
    MY_MONGO_PORT: "27018",
    MONGO_DATABASE: "games",
    MONGO_AUTH_USER: "us:er",
    MONGO_AUTH_PWD: "p@ss/word",
    MONGO_REPLICA_SET: "rs0",
    MONGO_USE_SSL: "true",
    MONGO_VALIDATE_SSL: "false",
  });
  const [url, { auth, authSource, replicaSet, tls, tlsAllowInvalidCertificates }] = mongoAddress(mongo);
  assert.equal(url, "mongodb://mongo-0.mongo:27018,mongo-1.mongo:27018/games");
  assert.deepEqual(auth, { username: "us:er", password: "p@ss/word" });
  assert.equal(authSource, "games");
  assert.equal(replicaSet, "rs0");
  assert.ok(tls && tlsAllowInvalidCertificates);
});

test("the driver's limits have upstream's defaults, and the environment sets each", () => {
  const [url, defaults] = mongoAddress(readSettings({}).mongo);
  assert.equal(url, "mongodb://localhost:27017/pacman");
  assert.deepEqual(defaults, {
    readPreference: "secondaryPreferred",
    connectTimeoutMS: 10_000,
    serverSelectionTimeoutMS: 5_000,
    socketTimeoutMS: 30_000,
    waitQueueTimeoutMS: 5_000,
    maxPoolSize: 10,
  });
  const set = {
    MONGO_CONNECT_TIMEOUT_MS: "3000",
    MONGO_SERVER_SELECTION_TIMEOUT_MS: "30000",
    MONGO_SOCKET_TIMEOUT_MS: "4000",
    MONGO_WAIT_QUEUE_TIMEOUT_MS: "2000",
    MONGO_MAX_POOL_SIZE: "5",
  };
  assert.deepEqual(readSettings(set).mongo.limits, {
    connectTimeoutMS: 3_000,
    serverSelectionTimeoutMS: 30_000,
    socketTimeoutMS: 4_000,
    waitQueueTimeoutMS: 2_000,
    maxPoolSize: 5,
  });
});

test("a failed first connection ends the process in production only, and only with a database", () => {
  const failFast = (env) => readSettings(env).failFast;
  assert.equal(failFast({ DB_TYPE: "mongo", NODE_ENV: "production" }), true);
  assert.equal(failFast({ DB_TYPE: "mongo" }), false);
  assert.equal(failFast({ NODE_ENV: "production" }), false);
  assert.equal(failFast({ DB_TYPE: "mongo", FAIL_FAST_ON_DB_CONNECT: "true" }), true);
  assert.equal(failFast({ DB_TYPE: "mongo", NODE_ENV: "production", FAIL_FAST_ON_DB_CONNECT: "false" }), false);
});

test("without a database the process ends with code 1 after the server selection timeout", async (t) => {
  const absent = { DB_TYPE: "mongo", MONGO_SERVICE_HOST: "127.0.0.1", MY_MONGO_PORT: String(await freePort()) };
  const waits = async (environment) => {
    const begin = performance.now();
    const server = await launch(t, { ...absent, NODE_ENV: "production", ...environment });
    await assert.rejects(fetch(`${server.url}/healthz`), "nothing listens while it tries to connect");
    assert.deepEqual(await server.exited, [1, null]);
    return (performance.now() - begin) / 1000;
  };
  const [byDefault, longer] = await Promise.all([waits({}), waits({ MONGO_SERVER_SELECTION_TIMEOUT_MS: "8000" })]);
  assert.ok(byDefault > 4.9 && byDefault < 7, `${byDefault} s`);
  assert.ok(longer > 7.9 && longer < 10, `${longer} s`);
});

test("without fail-fast a failed first connection is never tried again, and the log has no password", async (t) => {
  const server = await serve(t, {
    DB_TYPE: "mongo",
    MONGO_SERVICE_HOST: "127.0.0.1",
    MY_MONGO_PORT: String(await freePort()),
    MONGO_AUTH_USER: "pacman",
    MONGO_AUTH_PWD: "hunter2",
    LOG_LEVEL: "trace",
  });
  assert.equal((await ask(server, "/healthz")).status, 200);
  assert.deepEqual(await ask(server, "/readyz"), { status: 503, body: { status: "not-ready" } });
  assert.equal((await ask(server, "/readyz/details")).status, 503);
  assert.deepEqual(await post(server, "/highscores", SCORE), {
    status: 200,
    body: { name: "Ada", zone: "a", score: 120, level: 1, rs: "error" },
  });
  assert.equal((await ask(server, "/highscores/list")).status, 500);
  assert.equal((await ask(server, "/user/id")).status, 500);
  assert.equal((await post(server, "/user/stats", { userId: "x" })).body.rs, "error");
  assert.doesNotMatch(server.output, /hunter2/);
});
