// Asking a Kubernetes API for the node. The API is a stand-in on the loopback with TLS of its own: it shows how the
// answer is read and that the token is sent, not that a real API gives that answer.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { locate } from "../src/location.js";
import { createLog } from "../src/log.js";

const LOG = createLog("silent");
const UNKNOWN = { cloud: "unknown", zone: "unknown", host: hostname() };

/** A service account's folder and an API that knows one node and one token. */
async function cluster(t, node) {
  const account = mkdtempSync(join(tmpdir(), "pacman-account-"));
  const [key, ca] = [join(account, "key"), join(account, "ca.crt")];
  const name = ["-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:127.0.0.1"];
  const made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", ca];
  execFileSync("openssl", ["req", "-x509", "-days", "1", ...made, ...name], { stdio: "pipe" });
  writeFileSync(join(account, "token"), "secret\n");
  const api = https.createServer({ key: readFileSync(key), cert: readFileSync(ca) }, (request, response) => {
    const known = request.url === "/api/v1/nodes/minikube" && request.headers.authorization === "Bearer secret";
    response.writeHead(known ? 200 : 403).end(JSON.stringify(known ? node : {}));
  });
  api.listen(0, "127.0.0.1");
  await once(api, "listening");
  t.after(() => {
    api.close();
    api.closeAllConnections();
    rmSync(account, { recursive: true });
  });
  return { account, settings: { nodeName: "minikube", apiHost: "127.0.0.1", apiPort: api.address().port } };
}

test("the provider's scheme is the cloud, the label the zone", async (t) => {
  const node = {
    metadata: { labels: { "topology.kubernetes.io/zone": "eu-west-1a" } },
    spec: { providerID: "aws:///eu-west-1a/i-0abc" },
  };
  const { account, settings } = await cluster(t, node);
  assert.deepEqual(await locate(settings, LOG, account), { cloud: "aws", zone: "eu-west-1a", host: hostname() });
});

test("a node without provider and zone is a node of Kubernetes", async (t) => {
  const { account, settings } = await cluster(t, { metadata: { labels: {} }, spec: {} });
  assert.deepEqual(await locate(settings, LOG, account), { cloud: "kubernetes", zone: "unknown", host: hostname() });
});

test("what may not be read is unknown", async (t) => {
  const { account, settings } = await cluster(t, {});
  assert.deepEqual(await locate({ ...settings, nodeName: "other" }, LOG, account), UNKNOWN);
  assert.deepEqual(await locate({ ...settings, nodeName: "" }, LOG, account), UNKNOWN);
  assert.deepEqual(await locate(settings, LOG, "/nowhere"), UNKNOWN);
});

test("an API with another certificate is not given the token", async (t) => {
  const { account, settings } = await cluster(t, {});
  const { account: other } = await cluster(t, {});
  writeFileSync(join(account, "ca.crt"), readFileSync(join(other, "ca.crt")));
  assert.deepEqual(await locate(settings, LOG, account), UNKNOWN);
});
