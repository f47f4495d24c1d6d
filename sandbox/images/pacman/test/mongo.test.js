// The same contract against a real MongoDB: a replica set of one member with authentication, as the cluster has it.
//
// MONGOD names a mongod binary, 6.0 or newer; the test starts and ends its own, in a folder and on a port of its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { MongoClient } from "mongodb";

import { ask, freePort, post, serve } from "./server.js";

const MONGOD = process.env.MONGOD;
if (!MONGOD) throw new Error("MONGOD is not set: it must name a mongod binary, 6.0 or newer");

const ROOT = { username: "root", password: "r00t" };
// Characters that would take a connection string apart.
const APP = { username: "pac/man", password: "p@ss:w/rd?%" };

/** A mongod that can be killed and started again with the same data. */
class Mongo {
  async prepare() {
    this.folder = await mkdtemp(join(tmpdir(), "pacman-mongo-"));
    this.port = await freePort();
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
      const members = [{ _id: 0, host: `127.0.0.1:${this.port}` }];
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

  /** Lets every write be recorded, and gives back what was. */
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
      MY_MONGO_PORT: String(this.port),
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

test.before(async () => {
  await mongo.prepare();
  await mongo.start();
  const ended = mongo.exited.then(([code]) => Promise.reject(new Error(`${MONGOD} ended with code ${code}`)));
  await Promise.race([mongo.initiate(), ended]);
  ended.catch(() => {});
});

test.after(async () => {
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
  const [{ _id, date, ...stored }] = await mongo.documents("highscore");
  assert.deepEqual(stored, score("Ada", 120));
  assert.doesNotMatch(server.output, /p@ss/);
});

test("users are documents of the collection userstats", async (t) => {
  const server = await serve(t, mongo.environment);
  const { body: userId } = await ask(server, "/user/id");
  const [{ _id }] = await mongo.documents("userstats");
  assert.equal(_id.toHexString(), userId);
  assert.deepEqual((await ask(server, "/user/stats")).body, []);
  const stats = { userId, cloud: "k3s", zone: "a", host: "pod", score: 7, level: 1, lives: 3, elapsedTime: 9 };
  assert.equal((await post(server, "/user/stats", stats)).body.rs, "success");
  assert.deepEqual((await ask(server, "/user/stats")).body, [
    { cloud: "k3s", zone: "a", host: "pod", score: 7, level: 1, lives: 3, et: 9, txncount: 1 },
  ]);
});

test("a wrong password leaves the pod not ready and stays out of the log", async (t) => {
  const server = await serve(t, { ...mongo.environment, MONGO_AUTH_PWD: "hunter2" });
  assert.equal((await ask(server, "/readyz")).status, 503);
  assert.doesNotMatch(server.output, /hunter2/);
});

test("an outage is answered with rs error, and heals by itself; a first connection that failed does not", async (t) => {
  const steady = await serve(t, mongo.environment);
  await post(steady, "/highscores", score("Cy", 500));
  await mongo.kill();
  const [late, write] = await Promise.all([
    serve(t, mongo.environment),
    post(steady, "/highscores", score("lost", 600)),
  ]);
  assert.equal(write.status, 200);
  assert.equal(write.body.rs, "error");
  assert.equal((await ask(steady, "/healthz")).status, 200);
  await mongo.start();
  // The driver waits for a primary, 30 s at most.
  assert.equal((await ask(steady, "/readyz")).status, 200);
  assert.equal((await post(steady, "/highscores", score("Di", 400))).body.rs, "success");
  assert.deepEqual((await names(steady)).slice(0, 2), ["Cy", "Di"]);
  assert.equal((await ask(late, "/readyz")).status, 503);
  assert.equal((await post(late, "/highscores", score("lost", 600))).body.rs, "error");
});

test("SIGTERM ends the process although it is connected", async (t) => {
  const server = await serve(t, mongo.environment);
  server.child.kill("SIGTERM");
  assert.deepEqual(await server.exited, [0, null]);
});
