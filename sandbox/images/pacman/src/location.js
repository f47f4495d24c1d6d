// Where this pod runs, read from its node: a score says where it was made.

import { readFile } from "node:fs/promises";
import https from "node:https";
import { hostname } from "node:os";
import { join } from "node:path";

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
const TIMEOUT_MS = 1500;

/**
 * `{cloud, zone, host}` of this pod; "unknown" where its node cannot be read.
 *
 * Upstream then asks the metadata addresses of the clouds. This image is for a network without a route out, where that
 * would take seconds and find nothing.
 *
 * @param settings nodeName, apiHost, apiPort; empty outside a cluster
 * @param log gets the reason for "unknown", at debug
 * @param {string} account the folder with the service account's token and the API's certificate
 */
export async function locate(settings, log, account = SERVICE_ACCOUNT) {
  const host = hostname();
  try {
    const node = await readNode(settings, account);
    const zone = node.metadata?.labels?.["topology.kubernetes.io/zone"] ?? "unknown";
    // aws:///eu-west-1a/i-0abc; a node that no cloud knows has none.
    const cloud = (node.spec?.providerID ?? "").split(":")[0] || "kubernetes";
    return { cloud, zone, host };
  } catch (error) {
    log.debug("the node cannot be read", { error });
    return { cloud: "unknown", zone: "unknown", host };
  }
}

async function readNode({ nodeName, apiHost, apiPort }, account) {
  if (!nodeName) throw new Error("MY_NODE_NAME is not set");
  if (!apiHost) throw new Error("KUBERNETES_SERVICE_HOST is not set");
  // Read anew each time: the token is replaced within the hour.
  const [token, ca] = await Promise.all([
    readFile(join(account, "token"), "utf8"),
    readFile(join(account, "ca.crt")),
  ]);
  const text = await get({
    host: apiHost,
    port: apiPort,
    path: `/api/v1/nodes/${encodeURIComponent(nodeName)}`,
    headers: { authorization: `Bearer ${token.trim()}`, accept: "application/json" },
    ca,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  return JSON.parse(text);
}

function get(options) {
  return new Promise((resolve, reject) => {
    const request = https.get(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
        else reject(new Error(`the Kubernetes API answers ${response.statusCode}`));
      });
    });
    request.on("error", reject);
  });
}
