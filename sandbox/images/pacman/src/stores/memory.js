// Scores that last as long as the process: what DB_TYPE means when nobody set it.

import { randomUUID } from "node:crypto";

export class MemoryStore {
  #scores = [];
  #users = new Map();

  async connect() {}

  async close() {}

  /** Always true: a forgotten DB_TYPE is not to be seen in any probe. */
  async ping() {
    return true;
  }

  async addScore(score) {
    this.#scores.push(score);
  }

  /** The best scores, best first. */
  async topScores(count) {
    return [...this.#scores]
      .sort((a, b) => b.score - a.score)
      .slice(0, count)
      .map(({ name, cloud, zone, host, score }) => ({ name, cloud, zone, host, score }));
  }

  /** The id of a new user. */
  async addUser() {
    const id = randomUUID();
    this.#users.set(id, { updates: 0 });
    return id;
  }

  async updateUser(id, stats) {
    const updates = (this.#users.get(id)?.updates ?? 0) + 1;
    this.#users.set(id, { ...stats, updates });
  }

  /** Every user that ever sent statistics. */
  async users() {
    return [...this.#users.values()]
      .filter(({ updates }) => updates > 0)
      .map(({ cloud, zone, host, score, level, lives, elapsedTime, updates }) => {
        return { cloud, zone, host, score, level, lives, et: elapsedTime, txncount: updates };
      });
  }
}
