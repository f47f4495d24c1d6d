// Scores that last as long as the process: what DB_TYPE means when nobody set it.

import { randomUUID } from "node:crypto";

import { SIMULATED } from "./simulated.js";

export class MemoryStore {
  #scores = [];
  #users = new Map();

  async connect() {}

  async close() {}

  /** Always true: no probe shows a forgotten DB_TYPE. */
  async ping() {
    return true;
  }

  async addScore(score) {
    this.#scores.push(score);
  }

  /** The best scores, best first. */
  async topScores(count, withSimulated) {
    return this.#scores
      .filter(({ name }) => withSimulated || !SIMULATED.test(name))
      .sort((a, b) => b.score - a.score)
      .slice(0, count)
      .map(({ name, cloud, zone, host, score }) => ({ name, cloud, zone, host, score }));
  }

  /** The id of a new user. */
  async addUser(name) {
    const id = randomUUID();
    this.#users.set(id, { id, name, updates: 0 });
    return id;
  }

  async updateUser(id, stats) {
    const updates = (this.#users.get(id)?.updates ?? 0) + 1;
    this.#users.set(id, { ...stats, id, updates, date: new Date().toISOString() });
  }

  /** The users that sent statistics within the last seconds. */
  async users(seconds, withSimulated) {
    const since = new Date(Date.now() - seconds * 1000).toISOString();
    return [...this.#users.values()]
      .filter(({ date, name, updates }) => updates > 0 && date >= since && (withSimulated || !SIMULATED.test(name)))
      .map(({ id, name, cloud, zone, host, score, level, lives, elapsedTime, updates, date }) => {
        return { id, name, cloud, zone, host, score, level, lives, et: elapsedTime, txncount: updates, date };
      });
  }
}
