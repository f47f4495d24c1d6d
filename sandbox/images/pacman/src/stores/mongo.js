// Scores in MongoDB: the collections, write concern and read preference of `saintdle/pacman`.

import { MongoClient, ObjectId } from "mongodb";

import { SIMULATED } from "./simulated.js";

// An answered write is on the disks of a majority: it survives any one member, and the process of every member.
const ACKNOWLEDGED = { writeConcern: { w: "majority", j: true, wtimeoutMS: 10_000 } };
const REAL_PLAYERS = { $or: [{ name: { $exists: false } }, { name: { $not: SIMULATED } }] };

export class MongoStore {
  #settings;
  #log;
  #client;
  #database;

  /** @param settings the `mongo` part of the settings; @param log gets a warning for each failed ping */
  constructor(settings, log) {
    this.#settings = settings;
    this.#log = log;
  }

  /**
   * Connects, for as long as the server selection timeout.
   *
   * As upstream, the first attempt is the only one: after it failed, the store is not ready until the process is
   * restarted. The driver restores a connection that was there once.
   *
   * @throws {Error} no member answered, or the login was refused
   */
  async connect() {
    const client = new MongoClient(...mongoAddress(this.#settings));
    await client.connect();
    this.#client = client;
    this.#database = client.db(this.#settings.database);
  }

  async close() {
    await this.#client?.close();
  }

  /** Whether the database answers. */
  async ping() {
    try {
      await this.#connected().command({ ping: 1 });
      return true;
    } catch (error) {
      this.#log.warn("the database does not answer", { error });
      return false;
    }
  }

  async addScore(score) {
    await this.#scores().insertOne({ ...score, date: new Date().toISOString() }, ACKNOWLEDGED);
  }

  /** The best scores, best first. From a secondary they may be a moment old. */
  async topScores(count, withSimulated) {
    const projection = { _id: 0, name: 1, cloud: 1, zone: 1, host: 1, score: 1 };
    const filter = withSimulated ? {} : REAL_PLAYERS;
    return this.#scores().find(filter, { projection }).sort({ score: -1 }).limit(count).toArray();
  }

  /** The id of a new user, whose document is written at once. */
  async addUser(name) {
    const { insertedId } = await this.#users().insertOne({ name, date: new Date().toISOString() }, ACKNOWLEDGED);
    return insertedId.toHexString();
  }

  async updateUser(id, stats) {
    const key = ObjectId.isValid(id) ? new ObjectId(id) : id;
    const change = { $set: { ...stats, date: new Date().toISOString() }, $inc: { updateCounter: 1 } };
    await this.#users().updateOne({ _id: key }, change, { upsert: true, ...ACKNOWLEDGED });
  }

  /** The users that sent statistics within the last seconds. */
  async users(seconds, withSimulated) {
    const since = new Date(Date.now() - seconds * 1000).toISOString();
    const active = { score: { $exists: true }, date: { $gte: since } };
    const filter = withSimulated ? active : { ...active, ...REAL_PLAYERS };
    const found = await this.#users().find(filter).sort({ _id: 1 }).toArray();
    return found.map(({ _id, name, cloud, zone, host, score, level, lives, elapsedTime, updateCounter, date }) => {
      const id = _id.toString();
      return { id, name, cloud, zone, host, score, level, lives, et: elapsedTime, txncount: updateCounter, date };
    });
  }

  #connected() {
    if (!this.#database) throw new Error("there is no connection: the first attempt failed");
    return this.#database;
  }

  #scores() {
    return this.#connected().collection("highscore");
  }

  #users() {
    return this.#connected().collection("userstats");
  }
}

/**
 * What a MongoClient is made of: a connection string and its options.
 *
 * The credentials are in the options only. The driver quotes a connection string that it cannot read, and the log
 * would then hold the password; and so no character in them needs escaping.
 */
export function mongoAddress({ hosts, port, database, user, password, replicaSet, tls, validateTls, limits }) {
  const members = hosts.map((host) => `${host}:${port}`).join(",");
  // None of the limits is fit for Kubernetes by default. The address of a pod that has just gone swallows what is sent
  // to it, and the time to connect is then spent on it while the new pod is up already.
  const options = { readPreference: "secondaryPreferred", ...limits };
  if (user && password) {
    options.auth = { username: user, password };
    // The user lives in the database that it works on.
    options.authSource = database;
  }
  if (replicaSet) options.replicaSet = replicaSet;
  if (tls) {
    options.tls = true;
    options.tlsAllowInvalidCertificates = !validateTls;
  }
  return [`mongodb://${members}/${encodeURIComponent(database)}`, options];
}
