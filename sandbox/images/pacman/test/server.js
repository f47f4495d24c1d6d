// A server of its own for a test: the real process, on a port of its own, ended when the test ends.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

const ENTRY = fileURLToPath(new URL("../src/server.js", import.meta.url));

/** A port of the loopback that nobody listened on a moment ago. */
export async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** A started process with nothing in its environment but these variables, PATH and a port. */
export async function launch(t, environment) {
  const port = await freePort();
  const env = { PATH: process.env.PATH, HOST: "127.0.0.1", PORT: String(port), ...environment };
  const child = spawn(process.execPath, [ENTRY], { env });
  const exited = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const server = { child, exited, port, url: `http://127.0.0.1:${port}`, output: "" };
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (server.output += data));
  return server;
}

/** A launched server that listens. */
export async function serve(t, environment = {}) {
  const server = await launch(t, environment);
  for (;;) {
    const [ended] = await Promise.race([
      once(server.child.stdout, "data").then(() => [false]),
      server.exited.then(() => [true]),
    ]);
    if (ended) throw new Error(`the server ended: ${server.output}`);
    if (server.output.includes('"listening"')) return server;
  }
}

/** `{status, body}` of a request; the body is read as JSON where it is JSON, and as text otherwise. */
export async function ask({ url }, path, options) {
  const response = await fetch(url + path, options);
  const isJson = response.headers.get("content-type").startsWith("application/json");
  return { status: response.status, body: await (isJson ? response.json() : response.text()) };
}

/** POSTs a form. */
export function post(server, path, fields, headers = {}) {
  return ask(server, path, { method: "POST", body: new URLSearchParams(fields), headers });
}
