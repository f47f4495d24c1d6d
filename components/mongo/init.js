// Brings a replica set to what the program declares: initiated once, all members in, the application's user there.
// Runs in mongosh, as often as anyone likes; each step first looks whether it is done.
//
// The one thing it must never do is initiate a second set. So it hears every member first, and where any of them
// knows a set, that set is the set.

const fs = require("fs");

// A member's full name stands in its own /etc/hosts, so a member that starts knows at once which of the set it is. Any
// shorter one it would have to look up, at a moment when DNS may not know the new pod yet: it would take itself for
// removed, and a set of one for good.
const search = fs.readFileSync("/etc/resolv.conf", "utf8").split(/\s+/);
const domain = search.find((word) => word.startsWith(`${process.env.NAMESPACE}.svc.`));
if (!domain) throw new Error("the pod's /etc/resolv.conf names no cluster domain: its dnsPolicy must be ClusterFirst");
const wanted = process.env.MEMBERS.split(",").map((member) => member.replace(":", `.${domain}:`));
const replicaSet = process.env.REPLICA_SET;
const database = process.env.DATABASE;
const secret = (path) => fs.readFileSync(`/secrets/${path}`, "utf8").trim();
const [rootUser, rootPassword] = [secret("root/username"), secret("root/password")].map(encodeURIComponent);

const NOT_YET_INITIALIZED = 94;
const USER_NOT_FOUND = 11;
const WAIT_MS = 500;

// One connection for each target: a new one for each try would fill the container's memory before the database is up.
const connections = new Map();
function admin(target, options) {
  const uri = `mongodb://${rootUser}:${rootPassword}@${target}/?authSource=admin&serverSelectionTimeoutMS=3000&${options}`;
  if (!connections.has(uri)) connections.set(uri, new Mongo(uri));
  return connections.get(uri).getDB("admin");
}

// The server's reply, also where it refuses: mongosh throws then. It waits for what is assigned, not for what is
// returned, and an error that comes after the return is not caught here.
function run(db, command) {
  try {
    const reply = db.runCommand(command);
    return reply;
  } catch (error) {
    if (error.code === undefined) throw error;
    return { ok: 0, code: error.code, codeName: error.codeName, errmsg: error.errmsg || error.message };
  }
}

// Tries until `attempt` returns something; the Job's deadline ends it. Says what it waits for, once for each reason.
function until(what, attempt) {
  let said = "";
  for (;;) {
    let reason = "not yet";
    try {
      const result = attempt();
      if (result) return result;
    } catch (error) {
      if (error.fatal) throw error;
      reason = error.codeName || error.name || "error";
    }
    if (reason !== said) print(`waiting for ${what}: ${reason}`);
    said = reason;
    sleep(WAIT_MS);
  }
}

// The config of the set that a member knows, or null if it says that it knows none. Anything else is no answer.
function knownConfig(member) {
  const reply = run(admin(member, "directConnection=true"), { replSetGetConfig: 1 });
  if (reply.ok) return reply.config;
  if (reply.code === NOT_YET_INITIALIZED) return null;
  throw Object.assign(new Error(reply.errmsg), { codeName: reply.codeName });
}

function refuse(message) {
  throw Object.assign(new Error(message), { fatal: true });
}

const known = wanted.map((member) => until(`${member} to answer`, () => ({ config: knownConfig(member) })).config);
let config = known.find((entry) => entry !== null);

if (!config) {
  // mongo-0 alone: a member with users of its own counts as one with data, which no initiation takes in.
  const reply = run(admin(wanted[0], "directConnection=true"), {
    replSetInitiate: { _id: replicaSet, members: [{ _id: 0, host: wanted[0] }] },
  });
  if (!reply.ok) refuse(`could not initiate ${replicaSet}: ${reply.errmsg}`);
  print(`initiated ${replicaSet} with ${wanted[0]}`);
  config = { members: [{ host: wanted[0] }] };
}

const extra = config.members.map((member) => member.host).filter((host) => !wanted.includes(host));
if (extra.length) {
  refuse(
    `the replica set has members that mongoMembers does not count: ${extra.join(", ")}. ` +
      `Shrinking is not supported, since it can cost the majority: set mongoMembers back to ${config.members.length}.`,
  );
}

const members = config.members.map((member) => member.host);
const set = until("a primary", () => {
  const primary = admin(members.join(","), `replicaSet=${replicaSet}`);
  return run(primary, { hello: 1 }).isWritablePrimary && primary;
});

// One at a time: a change of config may add one voting member, and it has to have its copy before the next comes.
for (const host of wanted.filter((member) => !members.includes(member))) {
  const current = run(set, { replSetGetConfig: 1 }).config;
  const id = Math.max(...current.members.map((member) => member._id)) + 1;
  const next = { ...current, version: current.version + 1, members: [...current.members, { _id: id, host }] };
  const reply = run(set, { replSetReconfig: next });
  if (!reply.ok) refuse(`could not add ${host}: ${reply.errmsg}`);
  until(`${host} to copy the data`, () =>
    run(set, { replSetGetStatus: 1 }).members.some((m) => m.name === host && m.stateStr === "SECONDARY"),
  );
  print(`added ${host}`);
}

const user = secret("app/username");
const app = set.getSiblingDB(database);
const account = {
  pwd: secret("app/password"),
  roles: [{ role: "readWrite", db: database }],
  writeConcern: { w: "majority" },
};
const outcome = until(`user ${user}`, () => {
  const updated = run(app, { updateUser: user, ...account });
  if (updated.ok) return "kept";
  if (updated.code !== USER_NOT_FOUND) throw Object.assign(new Error(updated.errmsg), { codeName: updated.codeName });
  const created = run(app, { createUser: user, ...account });
  return created.ok ? "created" : null;
});
// Creating an index that exists changes nothing.
for (const [collection, key] of Object.entries(JSON.parse(process.env.INDEXES))) {
  const name = Object.entries(key).flat().join("_");
  until(`the index ${name}`, () => run(app, { createIndexes: collection, indexes: [{ key, name }] }).ok);
}
print(`${outcome} user ${user}; ${replicaSet} is ready with ${wanted.length} member(s)`);
