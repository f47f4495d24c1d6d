// The same contract against a real MongoDB: a replica set of one member with authentication, as the cluster has it.
//
// MONGOD names a mongod binary, 6.0 or newer; the test starts and ends its own, in a folder and on a port of its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { MongoClient } from "mongodb";

import { ask, freePort, launch, post, serve } from "./server.js";

const MONGOD = process.env.MONGOD;
if (!MONGOD) throw new Error("MONGOD is not set: it must name a mongod binary, 6.0 or newer");

const ROOT = { username: "root", password: "r00t" };
// Characters that would take a connection string apart.
const APP = { username: "pac/man", password: "p@ss:w/rd?%" };

/**
 * The address of a member. Like that of a deleted pod it first refuses connections, since the process has ended, and
 * then swallows what is sent to it, since the address is gone.
 */
class Address {
  #sockets = new Set();
  #state = "serves";

  /** Listens, and gives the port. */
  async listen(target) {
    this.server = createServer((socket) => {
      if (this.#state === "refuses") return socket.destroy();
      const ends = [socket];
      if (this.#state === "serves") {
        ends.push(connect(target, "127.0.0.1"));
        socket.pipe(ends[1]).pipe(socket);
      }
      for (const end of ends) {
        this.#sockets.add(end);
        end.on("error", () => {}).on("close", () => ends.forEach((each) => each.destroy()));
      }
    });
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return this.server.address().port;
  }

  refuse() {
    this.#state = "refuses";
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  swallow() {
    this.#state = "swallows";
  }

  /** New connections get through. Those that were swallowed stay silent. */
  serve() {
    this.#state = "serves";
  }

  close() {
    this.refuse();
    this.server.close();
  }
}

/** A mongod that can be killed and started again with the same data. */
class Mongo {
  async prepare() {
    this.folder = await mkdtemp(join(tmpdir(), "pacman-mongo-"));
    this.port = await freePort();
    this.address = new Address();
    this.addressPort = await this.address.listen(this.port);
    this.keyfile = join(this.folder, "keyfile");
    await writeFile(this.keyfile, "a".repeat(64), { mode: 0o400 });
  }

  async start() {
    const place = ["--dbpath", this.folder, "--port", String(this.port), "--bind_ip", "127.0.0.1"];
    const set = ["--replSet", "rs0", "--keyFile", this.keyfile, "--wiredTigerCacheSizeGB", "0.25"];
    this.child = spawn(MONGOD, [...place, ...set, "--logpath", join(this.folder, "log"), "--nounixsocket"]);
    this.exited = once(this.child, "exit");
  }

  /** Makes the set and its users, through the exception that mongod makes for localhost as long as there are none. */
  async initiate() {
    await this.#asRoot({}, async (admin) => {
      const members = [{ _id: 0, host: `127.0.0.1:${this.addressPort}` }];
      await admin.command({ replSetInitiate: { _id: "rs0", members } });
      while (!(await admin.command({ hello: 1 })).isWritablePrimary) await new Promise((go) => setTimeout(go, 100));
      await admin.command({ createUser: ROOT.username, pwd: ROOT.password, roles: ["root"] });
    });
    await this.#asRoot({ auth: ROOT }, (admin, client) =>
      client.db("pacman").command({
        createUser: APP.username,
        pwd: APP.password,
        roles: [{ role: "readWrite", db: "pacman" }],
      }),
    );
  }

  /** Runs something with the documents of a collection, as root. */
  async documents(collection) {
    return this.#asRoot({ auth: ROOT }, (admin, client) => client.db("pacman").collection(collection).find().toArray());
  }

  /** Makes an index of the scores, as the app's user, who may do that. */
  async createIndex(keys) {
    const options = { directConnection: true, auth: APP, authSource: "pacman" };
    const client = new MongoClient(`mongodb://127.0.0.1:${this.port}/pacman`, options);
    try {
      return await client.db().collection("highscore").createIndex(keys);
    } finally {
      await client.close();
    }
  }

  /** Lets every operation be recorded, and gives back what was. */
  async profile(level) {
    return this.#asRoot({ auth: ROOT }, async (admin, client) => {
      await client.db("pacman").command({ profile: level });
      return client.db("pacman").collection("system.profile").find().toArray();
    });
  }

  async #asRoot(options, work) {
    const client = new MongoClient(`mongodb://127.0.0.1:${this.port}/admin`, { directConnection: true, ...options });
    try {
      return await work(client.db("admin"), client);
    } finally {
      await client.close();
    }
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.exited;
  }

  get environment() {
    return {
      DB_TYPE: "mongo",
      MONGO_SERVICE_HOST: "127.0.0.1",
      MY_MONGO_PORT: String(this.addressPort),
      MONGO_REPLICA_SET: "rs0",
      MONGO_AUTH_USER: APP.username,
      MONGO_AUTH_PWD: APP.password,
      LOG_LEVEL: "trace",
    };
  }
}

const mongo = new Mongo();
const score = (name, points) => ({ name, cloud: "k3s", zone: "a", host: "pod", score: points, level: 1 });
const names = async (server) => (await ask(server, "/highscores/list")).body.map(({ name }) => name);
const seconds = async (work) => {
  const begin = performance.now();
  const result = await work();
  return { result, seconds: (performance.now() - begin) / 1000 };
};

async function untilReady(server) {
  while ((await ask(server, "/readyz")).status !== 200) await new Promise((go) => setTimeout(go, 200));
}

test.before(async () => {
  await mongo.prepare();
  await mongo.start();
  const ended = mongo.exited.then(([code]) => Promise.reject(new Error(`${MONGOD} ended with code ${code}`)));
  await Promise.race([mongo.initiate(), ended]);
  ended.catch(() => {});
});

test.after(async () => {
  mongo.address.close();
  await mongo.kill();
  await rm(mongo.folder, { recursive: true });
});

test("scores are documents of the collection highscore, written with majority and journal", async (t) => {
  const server = await serve(t, mongo.environment);
  assert.deepEqual(await ask(server, "/readyz"), { status: 200, body: { status: "ready" } });
  await mongo.profile(2);
  assert.equal((await post(server, "/highscores", score("Ada", 120))).body.rs, "success");
  const recorded = await mongo.profile(0);
  const insert = recorded.find(({ op, ns }) => op === "insert" && ns === "pacman.highscore");
  assert.deepEqual(insert.command.writeConcern, { w: "majority", j: true, wtimeout: 10000 });
  await post(server, "/highscores", score("Bob", 300));
  assert.deepEqual((await ask(server, "/highscores/list")).body, [
    { name: "Bob", cloud: "k3s", zone: "a", host: "pod", score: 300 },
    { name: "Ada", cloud: "k3s", zone: "a", host: "pod", score: 120 },
  ]);
  assert.doesNotMatch(server.output, /p@ss/);
});

test("a score is stored with the address, the browser and the host name of who sent it", async (t) => {
  const server = await serve(t, mongo.environment);
  const browser = { "user-agent": "Firefox", referer: "http://pacman.example/" };
  const proxied = { "x-forwarded-for": "203.0.113.7, 10.0.0.1", "x-forwarded-host": "pacman.example:443" };
  await post(server, "/highscores", score("Eve", 10), browser);
  await post(server, "/highscores", score("Fay", 10), { ...browser, ...proxied });
  const documents = await mongo.documents("highscore");
  const stored = (name) => {
    const { _id, date, ...fields } = documents.find((document) => document.name === name);
    assert.match(date, /^\d{4}-\d\d-\d\dT.*Z$/);
    return fields;
  };
  const told = { user_agent: "Firefox", referer: "http://pacman.example/" };
  assert.deepEqual(stored("Eve"), { ...score("Eve", 10), ...told, hostname: "127.0.0.1", ip_addr: "127.0.0.1" });
  const outside = { hostname: "pacman.example", ip_addr: "203.0.113.7" };
  assert.deepEqual(stored("Fay"), { ...score("Fay", 10), ...told, ...outside });
});

test("an index on the score serves the list, which is sorted in memory without it", async (t) => {
  const server = await serve(t, mongo.environment);
  const plans = async () => {
    await mongo.profile(2);
    for (const query of ["", "?includeSimulated=false"]) await ask(server, `/highscores/list${query}`);
    const recorded = await mongo.profile(0);
    return recorded.filter(({ command }) => command.find === "highscore").slice(-2);
  };
  for (const { command, hasSortStage, planSummary } of await plans()) {
    assert.deepEqual(command.sort, { score: -1 });
    assert.equal(command.limit, 10_000);
    assert.deepEqual(command.$readPreference, { mode: "secondaryPreferred" });
    assert.equal(planSummary, "COLLSCAN");
    assert.ok(hasSortStage);
  }
  await mongo.createIndex({ score: -1 });
  for (const { hasSortStage, planSummary } of await plans()) {
    assert.equal(planSummary, "IXSCAN { score: -1 }");
    assert.ok(!hasSortStage);
  }
});

test("users are documents of the collection userstats", async (t) => {
  const server = await serve(t, mongo.environment);
  const { body: userId } = await ask(server, "/user/id?name=Ada");
  const [{ _id }] = await mongo.documents("userstats");
  assert.equal(_id.toHexString(), userId);
  assert.deepEqual((await ask(server, "/user/stats")).body, []);
  const sent = { cloud: "k3s", zone: "a", host: "pod", score: 7, level: 1, lives: 3 };
  const stats = { userId, name: "Ada", ...sent, elapsedTime: 9 };
  assert.equal((await post(server, "/user/stats", stats)).body.rs, "success");
  const [{ date, ...user }] = (await ask(server, "/user/stats")).body;
  assert.deepEqual(user, { id: userId, name: "Ada", ...sent, et: 9, txncount: 1 });
});

test("a wrong password leaves the pod not ready and stays out of the log", async (t) => {
  const server = await serve(t, { ...mongo.environment, MONGO_AUTH_PWD: "hunter2" });
  assert.equal((await ask(server, "/readyz")).status, 503);
  assert.doesNotMatch(server.output, /hunter2/);
});

test("with fail-fast a wrong password ends the process at once", async (t) => {
  const environment = { ...mongo.environment, MONGO_AUTH_PWD: "hunter2", NODE_ENV: "production" };
  const end = await seconds(async () => (await launch(t, environment)).exited);
  assert.deepEqual(end.result, [1, null]);
  assert.ok(end.seconds < 4, `${end.seconds} s`);
});

test("a member that moves loses a score where the connect timeout is long, and none where it is short", async (t) => {
  const byDefault = await serve(t, mongo.environment);
  const short = await serve(t, { ...mongo.environment, MONGO_CONNECT_TIMEOUT_MS: "2000" });
  mongo.address.refuse();
  // The driver asks a member that has hung up once more before it believes that the member is gone.
  await new Promise((go) => setTimeout(go, 700));
  mongo.address.swallow();
  setTimeout(() => mongo.address.serve(), 1500);
  const save = (server) => seconds(() => post(server, "/highscores", score("during", 1)));
  const [lost, saved] = await Promise.all([save(byDefault), save(short)]);
  assert.equal(lost.result.body.rs, "error");
  assert.ok(lost.seconds > 4.9 && lost.seconds < 7, `${lost.seconds} s`);
  assert.equal(saved.result.body.rs, "success");
  assert.ok(saved.seconds < 5, `${saved.seconds} s`);
  await untilReady(byDefault);
});

test("an outage heals by itself, and costs a process its first connection only if it waits too briefly", async (t) => {
  const steady = await serve(t, mongo.environment);
  await post(steady, "/highscores", score("Cy", 500));
  await mongo.kill();
  const production = { ...mongo.environment, NODE_ENV: "production" };
  const patient = await launch(t, { ...production, MONGO_SERVER_SELECTION_TIMEOUT_MS: "30000" });
  const [late, write, failFast] = await Promise.all([
    serve(t, mongo.environment),
    post(steady, "/highscores", score("lost", 600)),
    launch(t, production),
  ]);
  assert.equal(write.status, 200);
  assert.equal(write.body.rs, "error");
  assert.equal((await ask(steady, "/healthz")).status, 200);
  assert.equal((await ask(steady, "/readyz")).status, 503);
  assert.deepEqual(await failFast.exited, [1, null]);
  await mongo.start();
  await untilReady(steady);
  assert.equal((await post(steady, "/highscores", score("Di", 400))).body.rs, "success");
  assert.deepEqual((await names(steady)).slice(0, 2), ["Cy", "Di"]);
  while (!patient.output.includes('"listening"')) await once(patient.child.stdout, "data");
  assert.deepEqual((await names(patient)).slice(0, 2), ["Cy", "Di"]);
  assert.equal((await ask(late, "/readyz")).status, 503);
  assert.equal((await post(late, "/highscores", score("lost", 600))).body.rs, "error");
});

test("SIGTERM ends the process although it is connected", async (t) => {
  const server = await serve(t, mongo.environment);
  server.child.kill("SIGTERM");
  assert.deepEqual(await server.exited, [0, null]);
});
