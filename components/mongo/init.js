// Brings a replica set to what the program declares: initiated once, as many members as declared, users and indexes
// there. Runs in mongosh, as often as anyone likes; each step first looks whether it is done.
//
// The one thing it must never do is initiate a second set. So it hears every member first, also those that the program
// does not declare any more, and where any of them knows a set, that set is the set.

const fs = require("fs");

// A member's full name stands in its own /etc/hosts, so a member that starts knows at once which of the set it is. Any
// shorter one it would have to look up, at a moment when DNS may not know the new pod yet: it would take itself for
// removed, and a set of one for good.
const search = fs.readFileSync("/etc/resolv.conf", "utf8").split(/\s+/);
const domain = search.find((word) => word.startsWith(`${process.env.NAMESPACE}.svc.`));
if (!domain) throw new Error("the pod's /etc/resolv.conf names no cluster domain: its dnsPolicy must be ClusterFirst");
const hosts = (list) => list.split(",").map((member) => member.replace(":", `.${domain}:`));
const wanted = hosts(process.env.MEMBERS);
// With a dot at the end, the search list of a resolver cannot make a missing name resolve to something else.
const others = hosts(process.env.POSSIBLE_MEMBERS)
  .filter((member) => !wanted.includes(member))
  .map((member) => member.replace(":", ".:"));
const replicaSet = process.env.REPLICA_SET;
const database = process.env.DATABASE;
const secret = (path) => fs.readFileSync(`/secrets/${path}`, "utf8").trim();
const login = (prefix) => ({ user: secret(`${prefix}username`), pwd: secret(`${prefix}password`) });
const root = login("root/");
// While the passwords change, the database may still know only the old ones.
const logins = fs.existsSync("/secrets/users/previous-username") ? [root, login("users/previous-")] : [root];

const NOT_YET_INITIALIZED = 94;
const USER_NOT_FOUND = 11;
const AUTHENTICATION_FAILED = 18;
const WAIT_MS = 500;
// A first start ends within seconds, and a member then knows the root user.
const FIRST_START_MS = 60000;
// A connection is tried for that long: shorter at first, since a member that does not exist costs all of it.
const PATIENCE_MS = 3000;
const IMPATIENT_FOR_MS = 15000;
const MAJORITY = { w: "majority", wtimeout: 60000 };
const LIMIT_MS = Number(process.env.LIMIT_SECONDS) * 1000;
const began = Date.now();

// One connection for each target: a new one for each try would fill the container's memory before the database is up.
const connections = new Map();
function admin(target, options, timeout = PATIENCE_MS) {
  const name = `${target}/?authSource=admin&serverSelectionTimeoutMS=${timeout}&${options}`;
  if (!connections.has(name)) connections.set(name, connect(name));
  return connections.get(name).getDB("admin");
}

function connect(name) {
  for (const { user, pwd } of logins) {
    try {
      const connection = new Mongo(`mongodb://${encodeURIComponent(user)}:${encodeURIComponent(pwd)}@${name}`);
      return connection;
    } catch (error) {
      if (error.code !== AUTHENTICATION_FAILED || user === logins.at(-1).user) throw error;
    }
  }
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

// Ends the script with one line, which is the message of the container.
function refuse(message) {
  fs.writeSync(2, `error: ${message}\n`);
  process.exit(1);
}

// Tries until `attempt` returns something. Says what it waits for, once for each reason, and gives up before the Job's
// deadline, with which Kubernetes would delete the pod and what it has said.
function until(what, attempt) {
  let said = "";
  for (;;) {
    let [reason, detail] = ["not yet", ""];
    try {
      const result = attempt();
      if (result) return result;
    } catch (error) {
      reason = error.codeName || error.name || "error";
      detail = error.message && error.message !== reason ? ` (${error.message})` : "";
    }
    if (reason !== said) print(`waiting for ${what}: ${reason}`);
    said = reason;
    if (Date.now() - began > LIMIT_MS) refuse(`waited ${LIMIT_MS / 1000} s for ${what}: ${reason}${detail}`);
    sleep(WAIT_MS);
  }
}

// A reply, or an error if the server refused; some codes may be none.
function accepted(reply, ...codes) {
  if (reply.ok || codes.includes(reply.code)) return reply;
  throw Object.assign(new Error(reply.errmsg), { code: reply.code, codeName: reply.codeName });
}

// Tries a command until the server does it. What it answers meanwhile is told as the reason of the wait.
function done(what, db, command) {
  return until(what, () => {
    const reply = accepted(run(db, command));
    return reply;
  });
}

// The config of the set that a member knows, or null if it says that it knows none. Anything else is no answer.
function knownConfig(member, timeout) {
  const reply = run(admin(member, "directConnection=true", timeout), { replSetGetConfig: 1 });
  return accepted(reply, NOT_YET_INITIALIZED).config || null;
}

// A volume of a removed member may hold an old config: the newest is that of the set that lives.
function newest(configs) {
  const age = (config) => [config.term || 0, config.version];
  return configs.reduce((best, next) => {
    if (!best) return next;
    const [term, version] = age(next);
    const [bestTerm, bestVersion] = age(best);
    return term > bestTerm || (term === bestTerm && version > bestVersion) ? next : best;
  }, null);
}

const nameOf = (host) => host.split(".")[0];

// Volumes that were kept while the database was created anew make members of another set: no config can hold both.
function refuseTwoSets(heard) {
  const sets = new Map();
  for (const [member, config] of heard) {
    const id = config && String(config.settings.replicaSetId);
    if (id) sets.set(id, [...(sets.get(id) || []), nameOf(member)]);
  }
  if (sets.size < 2) return;
  const groups = [...sets.values()].map((members) => members.join(" and ")).join(", and one of ");
  refuse(
    `there are two replica sets: one of ${groups}. Find out which has the scores. Of the members of the other one, delete` +
      " claims and pods: they copy the data of the first",
  );
}

function hasPrimary(config) {
  try {
    const set = admin(config.members.map((member) => member.host).join(","), `replicaSet=${replicaSet}`);
    const reply = run(set, { hello: 1 });
    return Boolean(reply.isWritablePrimary);
  } catch (error) {
    return false;
  }
}

// The config of the set that is there; null if every member says that it knows none. A member that does not answer may
// know one, so it is waited for, unless the set has a primary without it.
function findConfig() {
  const absent = new Set();
  const found = until("the members to answer", () => {
    const heard = new Map();
    const timeout = Date.now() - began > IMPATIENT_FOR_MS ? PATIENCE_MS : WAIT_MS;
    let silent = "";
    const ask = (members) => {
      for (const member of members.filter((each) => !absent.has(each))) {
        try {
          const config = knownConfig(member, timeout);
          heard.set(member, config);
        } catch (error) {
          // There is no such pod; one that the program declares will come.
          if (others.includes(member) && /ENOTFOUND/.test(error.message)) absent.add(member);
          else silent = silent || whySilent(member, error);
        }
      }
    };
    ask(wanted);
    if (![...heard.values()].some(Boolean)) ask(others);
    refuseTwoSets(heard);
    const config = newest([...heard.values()].filter(Boolean));
    if (silent && !(config && hasPrimary(config))) throw Object.assign(new Error(silent), { codeName: silent });
    return { config };
  });
  return found.config;
}

function whySilent(member, error) {
  if (error.code === AUTHENTICATION_FAILED && Date.now() - began > FIRST_START_MS) {
    return `${nameOf(member)} refuses the password of root: its first start was interrupted, or its volume has other passwords`;
  }
  return `${nameOf(member)}: ${error.codeName || error.name}`;
}

function findOrInitiate() {
  const config = findConfig();
  if (config) return config.members.map((member) => member.host);
  // mongo-0 alone: a member with users of its own counts as one with data, which no initiation takes in.
  const reply = run(admin(wanted[0], "directConnection=true"), {
    replSetInitiate: { _id: replicaSet, members: [{ _id: 0, host: wanted[0] }] },
  });
  if (!reply.ok) refuse(`could not initiate ${replicaSet}: ${reply.errmsg}`);
  print(`initiated ${replicaSet} with ${wanted[0]}`);
  return [wanted[0]];
}

const seeds = findOrInitiate();

// The primary, whichever it is now.
function primary() {
  return until("a primary", () => {
    const set = admin(seeds.join(","), `replicaSet=${replicaSet}`);
    const reply = run(set, { hello: 1 });
    return reply.isWritablePrimary ? set : null;
  });
}

function status() {
  return done("the status of the set", primary(), { replSetGetStatus: 1 }).members;
}

// A change of the config, made from the one of that moment. MongoDB allows one voting member more or less in each, and the
// next only when this one is known to a majority.
function reconfigure(what, change) {
  until(what, () => {
    const set = primary();
    const current = run(set, { replSetGetConfig: 1 }).config;
    const members = change(current.members);
    if (!members) return true;
    accepted(run(set, { replSetReconfig: { ...current, version: current.version + 1, members }, maxTimeMS: 30000 }));
    print(what);
    return true;
  });
}

const isComplete = (member) => ["PRIMARY", "SECONDARY"].includes(member.stateStr);

// A member votes once it has copied all data: until then the server itself counts it as a new one without a vote. So this
// need not wait for the copy.
function add(host) {
  reconfigure(`adding ${host}`, (members) => {
    if (members.some((member) => member.host === host)) return null;
    const id = Math.max(...members.map((member) => member._id)) + 1;
    return [...members, { _id: id, host }];
  });
}

// Before anything changes: the members that stay must be a majority among themselves.
function checkThatTheRestCanElect() {
  const rest = status().filter((member) => wanted.includes(member.name));
  const complete = rest.filter(isComplete);
  if (complete.length * 2 > wanted.length) return;
  const missing = wanted.filter((host) => !complete.some((member) => member.name === host));
  refuse(
    `mongoMembers cannot be ${wanted.length}: of the members that would stay, ${missing.join(", ")} is neither primary` +
      " nor secondary, so the rest would have no majority. Fix that member, or set mongoMembers back.",
  );
}

function remove(extra) {
  checkThatTheRestCanElect();
  // Only a member that stays may become primary, so that nothing is removed from under the clients.
  until("a primary among the members that stay", () => {
    const [leader] = status().filter((member) => member.stateStr === "PRIMARY");
    if (!leader) return false; // an election runs
    if (wanted.includes(leader.name)) return true;
    reconfigure("lowering the priority of the members that leave", (members) => {
      const lowered = members.map((member) =>
        extra.includes(member.host) && member.host !== leader.name ? { ...member, priority: 0 } : member,
      );
      return members.some((member, index) => member.priority !== lowered[index].priority) ? lowered : null;
    });
    // Without this, a member that has stepped down itself a moment ago may not become the primary for a while.
    for (const host of wanted) run(admin(host, "directConnection=true"), { replSetFreeze: 0 });
    // The primary takes no writes while it waits for one of them.
    const reply = run(primary(), { replSetStepDown: 60, secondaryCatchUpPeriodSecs: 2 });
    if (!reply.ok) sleep(10 * WAIT_MS);
    return false;
  });
  for (const host of extra.reverse()) {
    reconfigure(`removing ${host}`, (members) =>
      members.some((member) => member.host === host) ? members.filter((member) => member.host !== host) : null,
    );
  }
}

function setUser(db, { user, pwd }, roles) {
  const account = { pwd, roles, writeConcern: MAJORITY };
  until(`user ${user}`, () => {
    const updated = accepted(run(db, { updateUser: user, ...account }), USER_NOT_FOUND);
    if (!updated.ok) accepted(run(db, { createUser: user, ...account }));
    return true;
  });
}

// Each user has two names that take turns, so that the old passwords work until nobody uses them.
const otherName = (user) => (user.endsWith("-2") ? user.slice(0, -2) : `${user}-2`);

function retire(db, { user }) {
  until(`the end of ${otherName(user)}`, () => {
    accepted(run(db, { dropUser: otherName(user), writeConcern: MAJORITY }), USER_NOT_FOUND);
    return true;
  });
}

const users = [
  { db: primary(), ...root, roles: [{ role: "root", db: "admin" }] },
  ...JSON.parse(process.env.USERS).map((user) => ({
    db: primary().getSiblingDB(user.database),
    ...login(`users/${user.secret}-`),
    roles: user.roles,
  })),
];

if (process.env.RETIRE) {
  for (const user of users) retire(user.db, user);
  print(`deleted the old users: ${users.map((each) => otherName(each.user)).join(", ")}`);
} else {
  const present = run(primary(), { replSetGetConfig: 1 }).config.members.map((member) => member.host);
  const extra = present.filter((host) => !wanted.includes(host));
  if (extra.length) remove(extra);
  for (const host of wanted) add(host);
  // A removal that was given up has lowered them.
  reconfigure("setting priorities back", (members) => {
    const isLow = (member) => wanted.includes(member.host) && member.priority === 0;
    return members.some(isLow) ? members.map((each) => (isLow(each) ? { ...each, priority: 1 } : each)) : null;
  });
  for (const user of users) setUser(user.db, user, user.roles);
  // Creating an index that exists changes nothing.
  for (const [collection, key] of Object.entries(JSON.parse(process.env.INDEXES))) {
    const name = Object.entries(key).flat().join("_");
    const index = { createIndexes: collection, indexes: [{ key, name }] };
    done(`the index ${name}`, primary().getSiblingDB(database), index);
  }
  print(`${replicaSet} is ready with ${wanted.length} member(s)`);
}

// MongoDB's manual: raise it only when every member runs that version.
function waitForServers(version) {
  const numbers = (text) => text.split(".").slice(0, 2).map(Number);
  const [major, minor] = numbers(version);
  until(`every member to run MongoDB ${version}`, () => {
    for (const { name } of status()) {
      const reply = accepted(run(admin(name, "directConnection=true"), { buildInfo: 1 }));
      const [itsMajor, itsMinor] = numbers(reply.version);
      if (itsMajor < major || (itsMajor === major && itsMinor < minor)) {
        throw Object.assign(new Error(), { codeName: `${nameOf(name)} runs ${reply.version}` });
      }
    }
    return true;
  });
}

const version = process.env.FEATURE_COMPATIBILITY;
if (version && !process.env.RETIRE) {
  const parameter = done("the parameters", primary(), { getParameter: 1, featureCompatibilityVersion: 1 });
  if (parameter.featureCompatibilityVersion.version !== version) {
    waitForServers(version);
    // Servers before 7.0 do not know `confirm`, and those since then want it.
    const confirm = Number(version.split(".")[0]) >= 7 ? { confirm: true } : {};
    done(`featureCompatibilityVersion ${version}`, primary(), { setFeatureCompatibilityVersion: version, ...confirm });
    print(`featureCompatibilityVersion is ${version}`);
  }
}
