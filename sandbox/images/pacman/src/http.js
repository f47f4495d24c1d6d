// Requests read and answers written the way Express does it for `saintdle/pacman`.

const BODY_BYTES = 100 << 10;

export class BadRequest extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The fields of a form or of a JSON object. */
export async function readBody(request) {
  const chunks = [];
  let size = 0;
  // Do not destroy the request when this throws: the answer still has to get out.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > BODY_BYTES) throw new BadRequest(413, "request entity too large");
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
    // The answer is the same as for JSON that is no object.
  }
  throw new BadRequest(400, "the body is no JSON object");
}

/**
 * Who sent a request, as upstream stores it with each score.
 *
 * Upstream trusts every proxy: where the headers X-Forwarded-For and X-Forwarded-Host are there, it believes them.
 */
export function sender({ headers, socket }) {
  const first = (name) => headers[name]?.split(",")[0].trim();
  return {
    referer: headers.referer ?? null,
    user_agent: headers["user-agent"] ?? null,
    hostname: (first("x-forwarded-host") ?? headers.host ?? "").replace(/:\d+$/, "") || null,
    ip_addr: first("x-forwarded-for") ?? socket.remoteAddress,
  };
}

export function json(status, value) {
  const headers = { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" };
  return { status, headers, body: JSON.stringify(value) };
}

/** As upstream: what is not answered with JSON, a path that does not exist above all, is a page. */
export function errorPage(status, message) {
  const text = message.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const body = `<!doctype html><title>Pacman</title><h1>${text}</h1><h2>${status}</h2>`;
  return { status, headers: { "content-type": "text/html; charset=utf-8" }, body };
}
