// What backup and restore do with the database. Runs in mongosh; backup.js and restore.js load it.

const fs = require("fs");
const archive = require(`${__dirname}/archive.js`);

const FOLDER = "/backup";
const { HOSTS, REPLICA_SET, DATABASE, CLAIM } = process.env;
const DEADLINE = Number(process.env.DEADLINE);
const [user, password] = ["username", "password"].map((name) =>
  encodeURIComponent(fs.readFileSync(`/secrets/${name}`, "utf8").trim()),
);
const MAJORITY = { w: "majority" };
const SNAPSHOT_TOO_OLD = 239;
const TRIES = 3;
// A secondary that is further behind leaves the reading to the primary.
const LAG_MS = 10000;
// Values keep their types, where mongosh would turn each number into a number of JavaScript: 1.0 is a double.
const EXACT = { promoteValues: false, promoteLongs: false, bsonRegExp: true };

const canonical = (value) => EJSON.stringify(value, { relaxed: false });
const began = Date.now();
const seconds = () => (Date.now() - began) / 1000;
const say = (text) => print(`[${seconds().toFixed(1)} s] ${text}`);

function connect(target, options) {
  const login = `mongodb://${user}:${password}@${target}/?authSource=admin&serverSelectionTimeoutMS=20000`;
  return new Mongo(`${login}&${options}`);
}

// The replica set: commands go to its primary.
function connectToSet(appName) {
  return connect(HOSTS, `replicaSet=${REPLICA_SET}&appName=${appName}`);
}

// Runs a command. It fails as well if only a part of the command did.
function run(db, command, options) {
  const reply = db.runCommand(command, options);
  const failed = (reply.writeErrors || [])[0] || reply.writeConcernError;
  if (failed) throw new Error(`${Object.keys(command)[0]}: ${failed.errmsg}`);
  return reply;
}

// A member to read from, by its own name, so that all batches of a cursor come from the member that has the cursor.
function chooseMember(set) {
  const primary = run(set.getDB("admin"), { hello: 1 });
  for (const host of primary.hosts.filter((each) => each !== primary.primary)) {
    try {
      const member = connect(host, "directConnection=true");
      const hello = run(member.getDB("admin"), { hello: 1 });
      const lag = primary.lastWrite.lastWriteDate - hello.lastWrite.lastWriteDate;
      if (hello.secondary && lag <= LAG_MS) return { host, member };
    } catch (error) {
      say(`${host} does not answer: ${error.message}`);
    }
  }
  return { host: primary.primary, member: connect(primary.primary, "directConnection=true") };
}

// Gives `take` all documents of a collection in batches of lines, sorted by _id.
function eachLines(db, collection, options, take) {
  let { cursor } = run(db, { find: collection, sort: { _id: 1 }, batchSize: 10, ...options }, EXACT);
  let lines = archive.toLines(cursor.firstBatch, EJSON);
  take(lines);
  while (!cursor.id.isZero()) {
    const batchSize = archive.documentsPerBatch(lines);
    cursor = run(db, { getMore: cursor.id, collection, batchSize }, EXACT).cursor;
    lines = archive.toLines(cursor.nextBatch, EJSON);
    take(lines);
  }
}

function first(db, command) {
  const { cursor } = run(db, { ...command, cursor: { batchSize: 10000 } }, EXACT);
  if (!cursor.id.isZero()) throw new archive.Refusal(`${Object.keys(command)[0]} has too many results for one reply`);
  return archive.byName(cursor.firstBatch);
}

// Name, kind, options and indexes of every collection and view. MongoDB keeps no history of these.
function definitions(db) {
  const own = first(db, { listCollections: 1 }).filter((each) => !each.name.startsWith("system."));
  return own.map(({ name, type, options }) => ({
    name,
    type,
    options,
    indexes: type === "collection" ? first(db, { listIndexes: name }) : [],
  }));
}

// Reads the database at one moment into a new archive; returns name, header, trailer, and size in bytes. `version` throws
// where the database is not to be read, and must return the same before and after each try.
function dump(set, suffix, version = () => null) {
  for (let attempt = 1; ; attempt++) {
    const before = version();
    const check = () => {
      const after = version();
      if (after !== before) throw new Error("a restore replaced collections meanwhile");
    };
    try {
      // mongosh waits for what is assigned: the error of a call that is returned would not be caught here.
      const done = dumpOnce(set, suffix, check);
      return done;
    } catch (error) {
      if (Number(error.code) === SNAPSHOT_TOO_OLD) {
        throw new archive.Refusal(
          `reading took longer than the members keep the past (minSnapshotHistoryWindowInSeconds, 300 by default): ` +
            `raise it, or back up at a quieter time (${seconds().toFixed(0)} s)`,
        );
      }
      // Another try does not help where the file system refuses, or a person has to decide.
      if (error instanceof archive.Refusal || error.syscall || attempt === TRIES) throw error;
      say(`reading again from the start: ${error.message}`);
    }
  }
}

// The archive that is being written: what ends this process has to remove it.
let writer;

// MongoDB reads neither of the two with read concern `snapshot`.
function refuseOtherCollections(collections) {
  const found = collections.find(({ type, options }) => !["collection", "view"].includes(type) || options.capped);
  if (!found) return;
  const kind = found.options.capped ? "capped" : "time series";
  throw new archive.Refusal(
    `${DATABASE}.${found.name} is a ${kind} collection, which cannot be read as of one moment: move it to another database`,
  );
}

function dumpOnce(set, suffix, check) {
  const { host, member } = chooseMember(set);
  // All batches of a cursor have to be asked for in one session.
  const db = member.startSession({ causalConsistency: false }).getDatabase(DATABASE);
  const collections = definitions(db);
  refuseOtherCollections(collections);
  // Everything that anybody knows to be written by now is part of this moment.
  const clusterTime = run(set.getDB("admin"), { ping: 1 }).operationTime;
  const moment = clusterTime.getHighBits();
  const server = run(member.getDB("admin"), { buildInfo: 1 }).version;
  const header = { format: archive.FORMAT, database: DATABASE, clusterTime, server, collections };
  const name = archive.newName(DATABASE, moment, suffix);
  say(`reading ${DATABASE} from ${host} as of ${new Date(moment * 1000).toISOString()}`);
  writer = new archive.Writer(FOLDER, name, canonical(header));
  try {
    for (const { name: collection } of realOnes(collections)) {
      writer.begin(collection);
      eachLines(db, collection, { readConcern: { level: "snapshot", atClusterTime: clusterTime } }, (lines) =>
        writer.add(lines),
      );
      writer.end();
      say(`read ${writer.trailer.at(-1).documents} documents of ${collection}`);
    }
    // A member that lags answers this once it has come to that moment, also where it knew no collection before.
    run(db, { find: "none", limit: 1, readConcern: { level: "snapshot", atClusterTime: clusterTime } });
    if (canonical(definitions(db)) !== canonical(collections)) {
      throw new Error("a collection or an index was created, changed or dropped meanwhile");
    }
    check();
    writer.finish();
  } finally {
    writer.abandon();
  }
  return { name, header, trailer: writer.trailer, bytes: writer.bytes };
}

// Views have no documents, and no indexes.
const realOnes = (collections) => collections.filter((each) => each.type === "collection");

// How many documents each collection holds, without those that hold none.
function countsOf(db) {
  const counts = realOnes(definitions(db)).map(({ name }) => [name, Number(run(db, { count: name }).n)]);
  return Object.fromEntries(counts.filter(([, documents]) => documents > 0));
}

// Makes the collections of an archive in a database, each with `prefix` before its name, and their indexes. Documents
// that a validator of today would refuse come back as well: root may go around it, for another user it is left out.
async function fill(db, prefix, name, header, asRoot) {
  for (const { name: collection, options } of realOnes(header.collections)) {
    const { validator, ...others } = options;
    run(db, { create: prefix + collection, ...(asRoot ? options : others), writeConcern: MAJORITY });
  }
  const bypass = asRoot ? { bypassDocumentValidation: true } : {};
  for await (const { collection, lines } of archive.read(FOLDER, name)) {
    if (!lines) continue;
    const documents = archive.toDocuments(lines, EJSON);
    // Three times as fast as the command `insert` by runCommand.
    db.getCollection(prefix + collection).insertMany(documents, { ordered: false, writeConcern: MAJORITY, ...bypass });
  }
  for (const { name: collection, indexes } of realOnes(header.collections)) {
    // The collection was created with its index on _id, or as that index.
    const others = indexes.filter((index) => index.name !== "_id_" && !index.clustered);
    if (others.length) run(db, { createIndexes: prefix + collection, indexes: others, writeConcern: MAJORITY });
  }
}

// Refuses what does not have the same documents and indexes as the archive.
function compare(db, prefix, header, trailer) {
  for (const { name, indexes } of realOnes(header.collections)) {
    const digest = new archive.Digest();
    eachLines(db, prefix + name, { readConcern: { level: "majority" } }, (lines) => digest.add(lines));
    const { documents, sha256 } = digest.result();
    const expected = trailer.find((each) => each.name === name);
    if (documents !== expected.documents) {
      throw new archive.Refusal(`restored ${name} has ${documents} documents, the archive ${expected.documents}`);
    }
    if (sha256 !== expected.sha256) throw new archive.Refusal(`documents of ${name} differ after they were restored`);
    if (canonical(first(db, { listIndexes: prefix + name })) !== canonical(indexes)) {
      throw new archive.Refusal(`indexes of ${name} differ after they were restored`);
    }
  }
}

// Runs `work` and ends the process. The result, or the reason in one line, is the termination message of the container.
// The Job tries again what ends with 2 or by a signal, but not what ends with 1: that needs a person.
async function end(work) {
  const stop = (code, line) => {
    if (writer) writer.abandon();
    fs.writeSync(2, `error: ${line}\n`);
    process.exit(code);
  };
  // The first process of a container gets no signal that it does not handle.
  process.on("SIGTERM", () => stop(143, "interrupted"));
  try {
    archive.removeStale(FOLDER, DATABASE, DEADLINE);
    const done = JSON.stringify(await work());
    print(done);
    fs.writeFileSync("/dev/termination-log", done);
  } catch (error) {
    const line = archive.explain(error, FOLDER, CLAIM) || String(error.message).replace(/\s+/g, " ");
    stop(error instanceof archive.Refusal || error.syscall ? 1 : 2, line);
  }
  process.exit(0);
}
