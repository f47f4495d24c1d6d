// What is answered to which request.

// The most that a level of upstream's maze holds: 104 dots of 10, 4 power pellets of 50, 16 ghosts of 100.
export const POINTS_PER_LEVEL = 2840;
const TOP = 10;
const BODY_BYTES = 100 << 10;
const PAGE_HEADERS = {
  "cache-control": "no-cache",
  "content-security-policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'self'",
  "x-content-type-options": "nosniff",
};

/**
 * The listener of a node:http server.
 *
 * @param settings version, commit, maxLevel
 * @param store where scores go, a MemoryStore or a MongoStore
 * @param {() => Promise<object>} locate gives `{cloud, zone, host}`
 * @param {Map<string, {type: string, body: Buffer}>} pages the files of the page
 * @param log
 */
export function createApp({ settings, store, locate, pages, log }) {
  const routes = {
    "GET /healthz": () => json(200, { status: "ok", version: settings.version, commit: settings.commit }),
    "GET /readyz": async () =>
      (await store.ping()) ? json(200, { status: "ready" }) : json(503, { status: "not-ready" }),
    "GET /config": () => json(200, { maxLevel: settings.maxLevel === Infinity ? "unlimited" : settings.maxLevel }),
    "GET /location/metadata": async () => json(200, await locate()),
    "GET /highscores/list": async () => json(200, await store.topScores(TOP)),
    "POST /highscores": addScore,
    "GET /user/id": async () => json(200, await store.addUser()),
    "GET /user/stats": async () => json(200, await store.users()),
    "POST /user/stats": updateUser,
  };

  async function addScore(request) {
    const body = await readBody(request);
    const score = whole(body.score);
    const level = whole(body.level);
    const error = implausible(score, level, settings.maxLevel);
    if (error) return json(400, { error });
    const { cloud, host, name, zone } = texts(body, "name", "cloud", "zone", "host");
    // As upstream: a write that failed is answered 200, too. Only rs tells.
    const rs = await outcome(() => store.addScore({ name, cloud, zone, host, score, level }));
    return json(200, { name, zone, score, level, rs });
  }

  async function updateUser(request) {
    const body = await readBody(request);
    const { userId } = body;
    if (!userId || typeof userId !== "string") return json(400, { error: "userId required" });
    const numbers = {
      score: whole(body.score),
      level: whole(body.level),
      lives: whole(body.lives),
      elapsedTime: whole(body.elapsedTime),
    };
    const stats = { ...texts(body, "cloud", "zone", "host"), ...numbers };
    return json(200, { rs: await outcome(() => store.updateUser(userId, stats)) });
  }

  async function outcome(write) {
    try {
      await write();
      return "success";
    } catch (error) {
      log.error("a write failed", { error });
      return "error";
    }
  }

  async function answer(request) {
    const path = request.url.split("?", 1)[0];
    const method = request.method === "HEAD" ? "GET" : request.method;
    const page = method === "GET" && pages.get(path);
    if (page) return { status: 200, headers: { ...PAGE_HEADERS, "content-type": page.type }, body: page.body };
    const route = routes[`${method} ${path}`];
    if (!route) return json(404, { error: `there is no ${method} ${path}` });
    try {
      return await route(request);
    } catch (error) {
      if (error instanceof BadRequest) return json(error.status, { error: error.message });
      log.error("a request failed", { method, path, error });
      return json(500, { error: "the database did not answer" });
    }
  }

  return async (request, response) => {
    const { body, headers, status } = await answer(request);
    response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
    response.end(body);
    log.debug("answered", { method: request.method, url: request.url, status });
  };
}

/** Why a score cannot be true, or "" if it can. A level that is missing is not held against it. */
function implausible(score, level, maxLevel) {
  if (score === null) return "score must be a number";
  if (level === null) return "";
  if (level < 1 || level > maxLevel) return "invalid level";
  return score / level > POINTS_PER_LEVEL ? "score is implausible for level" : "";
}

class BadRequest extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The fields of a form or of a JSON object. */
async function readBody(request) {
  const chunks = [];
  let size = 0;
  // Not destroyed when this throws: the answer still has to get out.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > BODY_BYTES) throw new BadRequest(413, `the body is longer than ${BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) {
    return Object.fromEntries(new URLSearchParams(text));
  }
  try {
    const body = JSON.parse(text);
    if (typeof body === "object" && body !== null) return body;
  } catch {
    // told below
  }
  throw new BadRequest(400, "the body is no JSON object");
}

function json(status, value) {
  const headers = { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" };
  return { status, headers, body: JSON.stringify(value) };
}

/** The whole number that a value begins with, or null. */
function whole(value) {
  const number = Number.parseInt(value, 10);
  return Number.isFinite(number) ? number : null;
}

/** Fields as text: an object in their place would be stored, and listed to everybody, as it is. */
function texts(body, ...names) {
  return Object.fromEntries(names.filter((name) => body[name] != null).map((name) => [name, String(body[name])]));
}
