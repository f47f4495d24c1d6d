// What is answered to which request.
//
// Upstream serves the game, its probes, its metrics and its internal and demo endpoints on one port. All of them are
// here, so that a test can see which ones an Ingress lets through.

import { json, readBody, sender } from "./http.js";

// The most that a level of upstream's maze holds: 104 dots of 10, 4 power pellets of 50, 16 ghosts of 100.
export const POINTS_PER_LEVEL = 2840;
// As upstream: the list is read up to here, and cut to a page afterwards.
const MOST_SCORES = 10_000;
const PAGE_SIZE = 10;
const MAX_PAGE_SIZE = 100;
const USER_SECONDS = 300;
const NAME_LENGTH = 32;
const DEMO_TOKEN = { header: "x-demo-token", value: "pacman-demo" };

/**
 * `GET /path` -> a function of the request and its query that gives the answer.
 *
 * @param settings version, commit, maxLevel, allowClientOverride, store
 * @param store where scores go, a MemoryStore or a MongoStore
 * @param {() => Promise<object>} locate gives `{cloud, zone, host}`
 * @param log
 * @param {() => string} metrics gives the text that Prometheus scrapes
 */
export function createRoutes({ settings, store, locate, log, metrics }) {
  const game = gameRoutes(settings, store, log);
  const server = serverRoutes(settings, store);
  return {
    ...game,
    ...server,
    ...demoRoutes(settings),
    ...internalRoutes(game, server, store),
    "GET /location/metadata": async () => json(200, await locate()),
    "GET /metrics": () => ({
      status: 200,
      headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
      body: metrics(),
    }),
  };
}

function gameRoutes(settings, store, log) {
  // As upstream: a write that failed is answered 200, too. Only rs tells.
  async function outcome(write) {
    try {
      await write();
      return "success";
    } catch (error) {
      log.error("a write failed", { error });
      return "error";
    }
  }

  return {
    "GET /highscores/list": async (request, query) => {
      const scores = await store.topScores(MOST_SCORES, wantsSimulated(query));
      return json(200, isPaged(query) ? page(scores, query) : scores.slice(0, PAGE_SIZE));
    },
    "POST /highscores": async (request) => {
      const body = await readBody(request);
      const score = whole(body.score);
      const level = whole(body.level);
      const error = implausible(score, level, settings.maxLevel);
      if (error) return json(400, { error });
      const { cloud, host, name, zone } = texts(body, "name", "cloud", "zone", "host");
      const record = { name, cloud, zone, host, score, level, ...sender(request) };
      const rs = await outcome(() => store.addScore(record));
      return json(200, { name, zone, score, level, rs });
    },
    "GET /user/id": async (request, query) => json(200, await store.addUser(shortName(query.get("name")))),
    "GET /user/stats": async (request, query) => {
      const users = await store.users(USER_SECONDS, wantsSimulated(query));
      return json(200, isPaged(query) ? page(users, query) : users);
    },
    "POST /user/stats": async (request) => {
      const body = await readBody(request);
      const { userId } = body;
      if (!userId || typeof userId !== "string") return json(400, { error: "userId required" });
      const stats = { ...texts(body, "cloud", "zone", "host"), name: shortName(body.name), ...sender(request) };
      for (const field of ["score", "level", "lives", "elapsedTime"]) stats[field] = whole(body[field]);
      return json(200, { rs: await outcome(() => store.updateUser(userId, stats)) });
    },
  };
}

function serverRoutes({ allowClientOverride, commit, store: database, maxLevel: cap, version }, store) {
  const maxLevel = cap === Infinity ? "unlimited" : cap;
  const config = {
    maxLevel,
    allowClientOverride,
    ebeeMode: false,
    allowEbeeModeOverride: true,
    appRole: "web",
    appVersion: version,
    appVariant: "stable",
    appColor: "#ffcc00",
    liveStatsPageSize: PAGE_SIZE,
    simulatedUsersEnabled: false,
  };

  // It only says whether a browser may keep a setting of its own: nothing is stored.
  async function checkOverride(request) {
    const body = await readBody(request);
    const answer = { rs: "success" };
    if ("maxLevel" in body) {
      if (!allowClientOverride) {
        return json(403, { error: "client gameplay config overrides are disabled on this server" });
      }
      const level = body.maxLevel === "unlimited" ? "unlimited" : Number(body.maxLevel);
      if (level !== "unlimited" && !(Number.isInteger(level) && level >= 1)) {
        return json(400, { error: 'maxLevel must be a positive integer or "unlimited"' });
      }
      answer.maxLevel = level;
    }
    if ("ebeeMode" in body) {
      if (!["true", "false"].includes(String(body.ebeeMode))) {
        return json(400, { error: "ebeeMode must be true or false" });
      }
      answer.ebeeMode = String(body.ebeeMode) === "true";
    }
    return json(200, answer);
  }

  return {
    "GET /healthz": () => json(200, { status: "ok", version, commit }),
    "GET /readyz": async () =>
      (await store.ping()) ? json(200, { status: "ready" }) : json(503, { status: "not-ready" }),
    "GET /readyz/details": async () => {
      const healthy = await store.ping();
      const status = healthy ? "ready" : "not-ready";
      const details = { status, version, database: { type: database, healthy }, config };
      return json(healthy ? 200 : 503, details);
    },
    "GET /version": () => json(200, { app: "pacman", role: "web", version, commit, database }),
    "GET /config": () => json(200, config),
    "GET /config/schema": () => json(200, { config, fields: { maxLevel: { env: "MAX_LEVEL", default: 10 } } }),
    "POST /config": checkOverride,
  };
}

/** Upstream's demo mode is off by default. This image does not have it, and answers as if it were off. */
function demoRoutes({ version }) {
  const refuse = () => json(403, { error: "demo security mode or token is not enabled" });
  return {
    "GET /demo/status": ({ headers }) => {
      const authorized = headers[DEMO_TOKEN.header] === DEMO_TOKEN.value;
      return json(200, { demoSecurityMode: false, tokenHeader: DEMO_TOKEN.header, authorized, version });
    },
    "POST /demo/incidents": refuse,
    "POST /demo/incidents/file-probe": refuse,
    "POST /demo/incidents/exec-probe": refuse,
  };
}

/** The game once more, under the paths that upstream's servers call among themselves. */
function internalRoutes(game, server, store) {
  return {
    "GET /internal/score/read": game["GET /highscores/list"],
    "POST /internal/score/write": game["POST /highscores"],
    "GET /internal/user/session": async (request, query) =>
      json(200, { id: await store.addUser(shortName(query.get("name"))) }),
    "GET /internal/user/stats": game["GET /user/stats"],
    "POST /internal/user/stats": game["POST /user/stats"],
    "GET /internal/config/read": server["GET /config"],
  };
}

/** Why a score cannot be true, or "" if it can. A missing level is accepted. */
function implausible(score, level, maxLevel) {
  if (score === null) return "score must be a number";
  if (level === null) return "";
  if (level < 1 || level > maxLevel) return "invalid level";
  return score / level > POINTS_PER_LEVEL ? "score is implausible for level" : "";
}

function isPaged(query) {
  return ["page", "pageSize", "includeSimulated"].some((name) => query.has(name));
}

/** Whether the players that a load generator makes up, sim1, sim2 and so on, are to be listed. */
function wantsSimulated(query) {
  return query.get("includeSimulated") !== "false";
}

function page(all, query) {
  const pageSize = Math.min(positive(query.get("pageSize"), PAGE_SIZE), MAX_PAGE_SIZE);
  const totalPages = Math.max(1, Math.ceil(all.length / pageSize));
  const number = Math.min(positive(query.get("page"), 1), totalPages);
  const items = all.slice((number - 1) * pageSize, number * pageSize);
  return { items, page: number, pageSize, total: all.length, totalPages };
}

function positive(text, fallback) {
  const number = whole(text);
  return number > 0 ? number : fallback;
}

/** The whole number that a value begins with, or null. */
function whole(value) {
  const number = Number.parseInt(value, 10);
  return Number.isFinite(number) ? number : null;
}

function shortName(value) {
  return (typeof value === "string" && value.trim().slice(0, NAME_LENGTH)) || null;
}

/** Fields as text: an object in their place would be stored, and listed to everybody, as it is. */
function texts(body, ...names) {
  return Object.fromEntries(names.filter((name) => body[name] != null).map((name) => [name, String(body[name])]));
}
