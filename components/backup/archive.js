// The files of the backup volume: how they are called, what an archive holds, and which are pruned. Plain Node.js:
// mongosh rewrites each call in its own scripts into one that may wait, which is too slow for millions of documents.
//
// An archive is gzip text with one JSON value in each line: an object, the header; for each collection its name, a
// string, and then its documents, objects in canonical EJSON, sorted by _id; an array, the trailer, which has the
// number and the digest of the documents of each collection.

const crypto = require("crypto");
const fs = require("fs");
const path = require("path");
const zlib = require("zlib");

const FORMAT = "ejson-1";
const SUFFIX = ".ejson.gz";
const AFTER_DATABASE = /^-\d{8}T\d{6}Z-[0-9a-f]{6}(-before-restore)?$/;
const TEMPORARY = ".writing";
const BLOCK_BYTES = 1 << 20;
// What one insert and one reply carry: a few MB, unless a single document has more.
const BATCH_DOCUMENTS = 2000;
const BATCH_CHARACTERS = 4 << 20;

/** A problem that a person can understand and solve: it is shown as one line, without a stack. */
class Refusal extends Error {}

/** The name of an archive: database, moment (seconds), and six digits for this run, so that no two runs share one. */
function newName(database, seconds, suffix = "") {
  const moment = new Date(seconds * 1000).toISOString().replace(/[-:]|\.000/g, "");
  return `${database}-${moment}-${crypto.randomBytes(3).toString("hex")}${suffix}`;
}

/** Documents as lines of canonical EJSON, which keeps every type of BSON, and back. */
const toLines = (documents, EJSON) => documents.map((each) => EJSON.stringify(each, { relaxed: false }));
const toDocuments = (lines, EJSON) => lines.map((line) => EJSON.parse(line, { relaxed: false }));

/** How many documents like the given ones the memory of a container has room for, several times over. */
function documentsPerBatch(lines) {
  const characters = lines.reduce((sum, line) => sum + line.length, 1) / Math.max(lines.length, 1);
  return Math.min(BATCH_DOCUMENTS, Math.ceil(BATCH_CHARACTERS / characters));
}

/** Values in the order of their names. */
const byName = (values) => [...values].sort((a, b) => (a.name < b.name ? -1 : 1));

/** The number and the SHA-256 of lines, each with its end of line. */
class Digest {
  constructor() {
    this.documents = 0;
    this.hash = crypto.createHash("sha256");
  }

  add(lines) {
    if (!lines.length) return;
    this.documents += lines.length;
    this.hash.update(lines.join("\n") + "\n");
  }

  result() {
    return { documents: this.documents, sha256: this.hash.digest("hex") };
  }
}

/** Writes an archive under a temporary name; `finish` gives it its own. */
class Writer {
  constructor(folder, name, header) {
    this.final = path.join(folder, name + SUFFIX);
    this.temporary = this.final + TEMPORARY;
    this.file = fs.openSync(this.temporary, "wx", 0o640);
    this.hash = crypto.createHash("sha256");
    this.bytes = 0;
    this.buffered = [];
    this.characters = 0;
    this.trailer = [];
    this.write([header]);
  }

  begin(collection) {
    this.write([JSON.stringify(collection)]);
    this.collection = { name: collection, digest: new Digest() };
  }

  add(lines) {
    this.collection.digest.add(lines);
    this.write(lines);
  }

  end() {
    this.trailer.push({ name: this.collection.name, ...this.collection.digest.result() });
  }

  write(lines) {
    for (const line of lines) {
      this.buffered.push(line);
      this.characters += line.length + 1;
      if (this.characters >= BLOCK_BYTES) this.flush();
    }
  }

  flush() {
    if (!this.buffered.length) return;
    // A gzip file may have many members, one after another.
    const block = zlib.gzipSync(this.buffered.join("\n") + "\n", { level: 1 });
    // Unlike one writeSync, this goes on until all of it is written.
    fs.writeFileSync(this.file, block);
    this.hash.update(block);
    this.bytes += block.length;
    this.buffered = [];
    this.characters = 0;
  }

  /** The checksum comes first: an archive that has its own name has its checksum, too. */
  finish() {
    this.write([JSON.stringify(this.trailer)]);
    this.flush();
    fs.fsyncSync(this.file);
    this.close();
    writeWhole(`${this.final}.sha256`, `${this.hash.digest("hex")}  ${path.basename(this.final)}\n`);
    fs.renameSync(this.temporary, this.final);
    syncFolder(path.dirname(this.final));
  }

  /** Removes what there is of an archive that was not finished. */
  abandon() {
    this.close();
    fs.rmSync(this.temporary, { force: true });
    if (!fs.existsSync(this.final)) fs.rmSync(`${this.final}.sha256`, { force: true });
  }

  close() {
    if (this.file !== undefined) fs.closeSync(this.file);
    this.file = undefined;
  }
}

/** Writes a small file so that it is there whole or not at all. */
function writeWhole(file, text) {
  const temporary = file + TEMPORARY;
  try {
    fs.writeFileSync(temporary, text, { flush: true });
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(path.dirname(file));
}

function syncFolder(folder) {
  const file = fs.openSync(folder, "r");
  fs.fsyncSync(file);
  fs.closeSync(file);
}

/** Reads an archive: first { header }, then { collection, lines } in batches, at last { trailer }. */
async function* read(folder, name) {
  const { pipeline } = require("stream/promises");
  const gunzip = zlib.createGunzip();
  const copied = pipeline(fs.createReadStream(path.join(folder, name + SUFFIX)), gunzip);
  copied.catch(() => {}); // The loop below meets the same error.
  let collection, lines = [], characters = 0, first = true;
  const batch = () => ({ collection, lines: lines.splice(0) });
  for await (const line of split(gunzip)) {
    if (first) {
      yield { header: line };
      first = false;
    } else if (line[0] === "{") {
      lines.push(line);
      characters += line.length;
      if (lines.length >= BATCH_DOCUMENTS || characters >= BATCH_CHARACTERS) {
        characters = 0;
        yield batch();
      }
    } else {
      if (lines.length) yield batch();
      const value = JSON.parse(line);
      if (Array.isArray(value)) yield { trailer: value };
      else collection = value;
    }
  }
}

async function* split(stream) {
  let rest = "";
  stream.setEncoding("utf8");
  for await (const text of stream) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    yield* lines;
  }
  if (rest) yield rest;
}

/** Reads all of an archive, and returns the text of its header and its trailer. Refuses one that is truncated, altered, or of another kind. */
async function check(folder, name, database) {
  const damaged = (why) => new Refusal(`archive ${name} is damaged: ${why}. Nothing was changed; restore another one`);
  const [expected] = fs.readFileSync(path.join(folder, `${name}${SUFFIX}.sha256`), "utf8").split(" ");
  if ((await sha256(path.join(folder, name + SUFFIX))) !== expected) throw damaged("its SHA-256 is another one");
  const digests = {};
  let text, trailer;
  try {
    for await (const part of read(folder, name)) {
      if (part.header) text = part.header;
      else if (part.trailer) trailer = part.trailer;
      else (digests[part.collection] ??= new Digest()).add(part.lines);
    }
  } catch (error) {
    throw damaged(error.message);
  }
  if (!text || !trailer) throw damaged("it has no end");
  for (const { name: collection, ...expected } of trailer) {
    const found = (digests[collection] || new Digest()).result();
    if (found.documents !== expected.documents) {
      throw damaged(`${collection} has ${found.documents} of ${expected.documents} documents`);
    }
    if (found.sha256 !== expected.sha256) throw damaged(`documents of ${collection} are others`);
  }
  const header = JSON.parse(text);
  if (header.format !== FORMAT) throw new Refusal(`archive ${name} has format ${header.format}; this program reads ${FORMAT}`);
  if (header.database !== database) throw new Refusal(`archive ${name} is of database ${header.database}, not ${database}`);
  return { header: text, trailer };
}

async function sha256(file) {
  const hash = crypto.createHash("sha256");
  for await (const chunk of fs.createReadStream(file, { highWaterMark: BLOCK_BYTES })) hash.update(chunk);
  return hash.digest("hex");
}

/** The complete archives of a database, oldest first: { name, verified, time, documents, collections, beforeRestore }. */
function list(folder, database) {
  const files = new Set(fs.readdirSync(folder));
  return [...files]
    .filter((file) => file.endsWith(SUFFIX) && files.has(`${file}.sha256`))
    .map((file) => file.slice(0, -SUFFIX.length))
    .filter((name) => name.startsWith(database) && AFTER_DATABASE.test(name.slice(database.length)))
    .sort()
    .map((name) => {
      const mark = path.join(folder, `${name}.verified`);
      const verified = fs.existsSync(mark);
      const { time, documents, collections } = verified ? JSON.parse(fs.readFileSync(mark, "utf8")) : {};
      return { name, verified, time, documents, collections, beforeRestore: name.endsWith("-before-restore") };
    });
}

const countDocuments = (trailer) => trailer.reduce((sum, each) => sum + each.documents, 0);

/** Says in the file beside an archive that it was restored once, and how many documents each collection had. */
function markVerified(folder, name, trailer) {
  const collections = Object.fromEntries(trailer.map((each) => [each.name, each.documents]));
  const mark = { time: new Date().toISOString(), documents: countDocuments(trailer), collections };
  writeWhole(path.join(folder, `${name}.verified`), JSON.stringify(mark) + "\n");
}

/** The files that say which restore replaces collections, and which was the last that has: { archive, before, time }. */
const swapFile = (folder, database) => path.join(folder, `${database}.restoring.json`);
const swappedFile = (folder, database) => path.join(folder, `${database}.restored.json`);
const textOf = (file) => (fs.existsSync(file) ? fs.readFileSync(file, "utf8") : null);

/** Notes down that a restore begins to replace collections. Until `endSwap`, the database is neither the old nor the new one. */
function beginSwap(folder, database, what) {
  writeWhole(swapFile(folder, database), JSON.stringify({ ...what, time: new Date().toISOString() }) + "\n");
}

/** What a restore that was interrupted was replacing collections with; null where none was. */
function unfinishedSwap(folder, database) {
  return JSON.parse(textOf(swapFile(folder, database)));
}

/** What differs between two moments if a restore has replaced collections between them. */
const lastSwap = (folder, database) => textOf(swappedFile(folder, database));

/** Whether a restore has replaced collections after a time, which is a text as the files here have it. */
function isRestoredSince(folder, database, time) {
  const swapped = JSON.parse(lastSwap(folder, database));
  return swapped !== null && swapped.time > time;
}

function endSwap(folder, database) {
  fs.renameSync(swapFile(folder, database), swappedFile(folder, database));
}

/** The archive that a person means by `latest` or a name, with or without the ending of the file. */
function find(folder, database, wanted) {
  const there = list(folder, database);
  const name = wanted.endsWith(SUFFIX) ? wanted.slice(0, -SUFFIX.length) : wanted;
  // What a restore has replaced is not what the next one wants: restoring `latest` twice must give the same data.
  const latest = there.filter((each) => each.verified && !each.beforeRestore).pop();
  const found = wanted === "latest" ? latest : there.find((each) => each.name === name);
  if (found) return found.name;
  const names = there.map((each) => each.name + (each.verified ? "" : " (not verified)")).reverse();
  const what = wanted === "latest" ? "no verified archive to restore" : `no archive ${wanted}`;
  throw new Refusal(`there is ${what}; the volume has ${names.length ? names.join(", ") : "none"}`);
}

/**
 * Deletes the archives that are older than the newest `keep` verified ones. Of what restores have replaced, the newest
 * `keep` stay even if they are older: they push no backup out, and none pushes out the way back from a restore that was
 * killed and ran again. Returns the names of what it deleted.
 */
function prune(folder, database, keep) {
  const there = list(folder, database);
  const replaced = there.filter((each) => each.beforeRestore);
  const backups = there.filter((each) => !each.beforeRestore);
  const oldestKept = backups.filter((each) => each.verified).slice(-keep)[0];
  const old = [...replaced.slice(0, -keep), ...backups].filter((each) => oldestKept && each.name < oldestKept.name);
  for (const { name } of old) {
    // The archive first: what is left of an interrupted deletion counts as no archive.
    for (const ending of [SUFFIX, `${SUFFIX}.sha256`, ".verified"]) {
      fs.rmSync(path.join(folder, name + ending), { force: true });
    }
  }
  return old.map((each) => each.name);
}

/** Deletes what killed runs have left, once it is older than a run can last. */
function removeStale(folder, database, seconds) {
  const files = fs.readdirSync(folder);
  const left = files.filter((file) => {
    if (!file.startsWith(`${database}-`)) return false;
    const archive = file.replace(/\.sha256$/, "");
    return file.endsWith(TEMPORARY) || (archive !== file && !files.includes(archive));
  });
  const limit = Date.now() - seconds * 1000;
  for (const file of left.map((name) => path.join(folder, name))) {
    const state = fs.statSync(file, { throwIfNoEntry: false });
    if (state && state.mtimeMs < limit) fs.rmSync(file, { force: true });
  }
}

/** Whether a collection of the scratch database, which begins with the name of an archive, is of a run that was killed. */
function isStale(collection, seconds) {
  const found = /-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-/.exec(collection);
  return found !== null && Date.UTC(found[1], found[2] - 1, ...found.slice(3)) < Date.now() - seconds * 1000;
}

/** The line for a file system error of the backup volume; undefined for any other error. */
function explain(error, folder, claim) {
  if (!["ENOSPC", "EDQUOT", "EFBIG"].includes(error.code)) return undefined;
  const { bavail, bsize } = fs.statfsSync(folder);
  const free = Math.round((bavail * bsize) / 1e6);
  return (
    `the backup volume, claim ${claim}, is full (${free} MB free): nothing was written, and older backups are as they were. ` +
    "Delete archives, or use a larger volume; then lower backupKeep, which alone frees nothing"
  );
}

module.exports = {
  FORMAT, Digest, Refusal, Writer, beginSwap, byName, check, countDocuments, documentsPerBatch, endSwap, explain, find,
  isRestoredSince, isStale, lastSwap, list, markVerified, newName, prune, read, removeStale, toDocuments, toLines,
  unfinishedSwap,
};
