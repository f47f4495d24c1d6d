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

test("what is not there is 404, and nothing outside of the page's folder is there", async (t) => {
  const { port } = await serve(t);
  for (const path of ["/none", "/package.json", "/../package.json", "/js/../../src/app.js", "/%2e%2e/package.json"]) {
    // Not fetch, which would take the dots out.
    const request = http.get({ host: "127.0.0.1", port, path });
    const [response] = await once(request, "response");
    response.resume();
    assert.equal(response.statusCode, 404, path);
  }
});

test("health tells the version, readiness that the store answers", async (t) => {
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

test("the ten best are listed, best first", async (t) => {
  const server = await serve(t);
  for (const score of [5, 120, 30, 70, 60, 10, 90, 80, 20, 110, 100, 40, 50]) {
    await post(server, "/highscores", { ...SCORE, score });
  }
  const { body } = await ask(server, "/highscores/list");
  assert.deepEqual(
    body.map(({ score }) => score),
    [120, 110, 100, 90, 80, 70, 60, 50, 40, 30],
  );
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

test("MAX_LEVEL moves the limit, and the page is told", async (t) => {
  const low = await serve(t, { MAX_LEVEL: "2" });
  assert.equal((await post(low, "/highscores", { ...SCORE, level: "3" })).status, 400);
  assert.deepEqual((await ask(low, "/config")).body, { maxLevel: 2 });
  const none = await serve(t, { MAX_LEVEL: "unlimited" });
  assert.equal((await post(none, "/highscores", { ...SCORE, level: "300" })).body.rs, "success");
  assert.deepEqual((await ask(none, "/config")).body, { maxLevel: "unlimited" });
});

test("a body that cannot be read is the client's fault", async (t) => {
  const server = await serve(t);
  const broken = { method: "POST", headers: { "content-type": "application/json" }, body: "{" };
  assert.equal((await ask(server, "/highscores", broken)).status, 400);
  assert.equal((await post(server, "/highscores", { name: "x".repeat(200_000) })).status, 413);
  assert.equal((await ask(server, "/healthz")).status, 200);
});

test("a user gets an id, and is listed once it has statistics", async (t) => {
  const server = await serve(t);
  const { body: userId } = await ask(server, "/user/id");
  assert.equal(typeof userId, "string");
  assert.deepEqual((await ask(server, "/user/stats")).body, []);
  const stats = { userId, cloud: "k3s", zone: "a", host: "pod", score: 7, level: 1, lives: 3, elapsedTime: 9 };
  assert.deepEqual(await post(server, "/user/stats", stats), { status: 200, body: { rs: "success" } });
  await post(server, "/user/stats", stats);
  assert.deepEqual((await ask(server, "/user/stats")).body, [
    { cloud: "k3s", zone: "a", host: "pod", score: 7, level: 1, lives: 3, et: 9, txncount: 2 },
  ]);
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

test("a port that is taken ends the process", async (t) => {
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
  assert.deepEqual(mongoAddress(mongo), [
    "mongodb://mongo-0.mongo:27018,mongo-1.mongo:27018/games",
    {
      readPreference: "secondaryPreferred",
      connectTimeoutMS: 3_000,
      auth: { username: "us:er", password: "p@ss/word" },
      authSource: "games",
      replicaSet: "rs0",
      tls: true,
      tlsAllowInvalidCertificates: true,
    },
  ]);
  assert.deepEqual(mongoAddress(readSettings({}).mongo), [
    "mongodb://localhost:27017/pacman",
    { readPreference: "secondaryPreferred", connectTimeoutMS: 3_000 },
  ]);
});

test("a first connection that fails is never tried again, and the log does not hold the password", async (t) => {
  const port = await freePort();
  const server = await serve(t, {
    DB_TYPE: "mongo",
    MONGO_SERVICE_HOST: "127.0.0.1",
    MY_MONGO_PORT: String(port),
    MONGO_AUTH_USER: "pacman",
    MONGO_AUTH_PWD: "hunter2",
    LOG_LEVEL: "trace",
  });
  assert.equal((await ask(server, "/healthz")).status, 200);
  assert.deepEqual(await ask(server, "/readyz"), { status: 503, body: { status: "not-ready" } });
  assert.deepEqual(await post(server, "/highscores", SCORE), {
    status: 200,
    body: { name: "Ada", zone: "a", score: 120, level: 1, rs: "error" },
  });
  assert.equal((await ask(server, "/highscores/list")).status, 500);
  assert.equal((await ask(server, "/user/id")).status, 500);
  assert.equal((await post(server, "/user/stats", { userId: "x" })).body.rs, "error");
  assert.doesNotMatch(server.output, /hunter2/);
});
