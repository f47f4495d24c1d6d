// The listener: finds the answer to a request, counts it and logs it.

import { BadRequest, errorPage } from "./http.js";
import { createRoutes } from "./routes.js";

const PAGE_HEADERS = {
  "cache-control": "no-cache",
  "content-security-policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'self'",
  "x-content-type-options": "nosniff",
};

/**
 * The listener of a node:http server.
 *
 * @param settings see `createRoutes`
 * @param store where scores go, a MemoryStore or a MongoStore
 * @param {() => Promise<object>} locate gives `{cloud, zone, host}`
 * @param {Map<string, {type: string, body: Buffer}>} pages the files of the page
 * @param log
 */
export function createApp({ settings, store, locate, pages, log }) {
  const counts = new Map();
  const routes = createRoutes({ settings, store, locate, log, metrics: () => metricsText(counts) });

  async function answer(request, method, path, query) {
    const file = method === "GET" && pages.get(path);
    if (file) return { status: 200, headers: { ...PAGE_HEADERS, "content-type": file.type }, body: file.body };
    const route = routes[`${method} ${routePath(path)}`];
    if (!route) return errorPage(404, "Not Found");
    try {
      return await route(request, query);
    } catch (error) {
      if (error instanceof BadRequest) return errorPage(error.status, error.message);
      log.error("a request failed", { method, path, error });
      return errorPage(500, error.message);
    }
  }

  return async (request, response) => {
    const [path, search] = request.url.split("?", 2);
    const method = request.method === "HEAD" ? "GET" : request.method;
    const { body, headers, status } = await answer(request, method, path, new URLSearchParams(search));
    response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
    response.end(body);
    const known = pages.has(path) ? "static" : `${method} ${routePath(path)}` in routes ? routePath(path) : "unknown";
    const labels = `role="web",method="${request.method}",route="${known}",status="${status}"`;
    counts.set(labels, (counts.get(labels) ?? 0) + 1);
    // As upstream: at info, whatever the status is, and the kubelet's probes as well.
    log.info("request completed", { method: request.method, url: request.url, status });
  };
}

/** As upstream: `/Internal/Score/Read/` is `/internal/score/read`, so a list of forbidden paths would not hold. */
function routePath(path) {
  return path.replace(/(.)\/$/, "$1").toLowerCase();
}

function metricsText(counts) {
  const name = "pacman_http_requests_total";
  const lines = [`# HELP ${name} Total HTTP requests`, `# TYPE ${name} counter`];
  for (const [labels, count] of counts) lines.push(`${name}{${labels}} ${count}`);
  return `${lines.join("\n")}\n`;
}
