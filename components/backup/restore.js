// Restores an archive into a database beside the live one, compares it, and then replaces one live collection after
// another. What the live database held is backed up first. Runs again from the start after it was killed at any point.

load(`${__dirname}/database.js`);

const BESIDE = `${DATABASE}_restore`;

// Two at once would replace each other's database. The connections of one that was killed end with it, so nothing is left
// that would keep the next one out.
function refuseASecondRestore(admin, ownName) {
  const pipeline = [
    { $currentOp: { allUsers: true, idleConnections: true } },
    { $match: { appName: { $regex: "^mongo-restore-", $ne: ownName } } },
  ];
  const others = run(admin, { aggregate: 1, pipeline, cursor: {} }).cursor.firstBatch;
  // No refusal for good: the Job tries again, and by then the other one may have ended.
  if (others.length) throw new Error("another restore runs: nothing was changed; wait until it has ended");
}

function swap(set, header) {
  const [admin, live] = [set.getDB("admin"), set.getDB(DATABASE)];
  const there = definitions(live);
  const views = there.filter((each) => each.type === "view").map((each) => each.name);
  for (const { name, type, options } of header.collections) {
    // A view is no target of a rename, and holds no data.
    if (views.includes(name)) run(live, { drop: name, writeConcern: MAJORITY });
    if (type === "view") {
      run(live, { create: name, ...options, writeConcern: MAJORITY });
    } else {
      const [from, to] = [`${BESIDE}.${name}`, `${DATABASE}.${name}`];
      run(admin, { renameCollection: from, to, dropTarget: true, writeConcern: MAJORITY });
    }
    say(`replaced ${name}`);
  }
  const restored = header.collections.map((each) => each.name);
  const others = there.map((each) => each.name).filter((name) => !restored.includes(name));
  if (others.length) say(`the archive does not have these, and they are as they were: ${others.join(", ")}`);
}

// What can be restored, the newest first.
function show() {
  const there = archive.list(FOLDER, DATABASE).reverse();
  for (const { name, verified, documents } of there) say(`${name}, ${verified ? `${documents} documents` : "not verified"}`);
  return { archives: there.length };
}

async function restore() {
  const ownName = `mongo-restore-${require("crypto").randomUUID()}`;
  const set = connectToSet(ownName);
  refuseASecondRestore(set.getDB("admin"), ownName);
  // One that was killed between two collections goes on with the same archive. The live database is of no time then, so
  // what it held before that one began stays the way back.
  const unfinished = archive.unfinishedSwap(FOLDER, DATABASE);
  const wanted = unfinished && process.env.FROM === "latest" ? unfinished.archive : process.env.FROM;
  const name = archive.find(FOLDER, DATABASE, wanted);
  const { header: text, trailer } = await archive.check(FOLDER, name, DATABASE);
  const header = EJSON.parse(text, { relaxed: false });
  say(`${name} is whole: ${archive.countDocuments(trailer)} documents`);

  const [live, beside] = [set.getDB(DATABASE), set.getDB(BESIDE)];
  let before = null;
  if (Object.keys(countsOf(live)).length) {
    before = dump(set, "-before-restore").name;
    say(`backed up what the database holds now, as ${before}`);
  }
  if (unfinished) before = unfinished.before;

  run(beside, { dropDatabase: 1, writeConcern: MAJORITY });
  await fill(beside, "", name, header, true);
  compare(beside, "", header, trailer);
  say(`restored into ${BESIDE}: the same documents and indexes as in the archive`);
  archive.beginSwap(FOLDER, DATABASE, { archive: name, before });
  swap(set, header);
  archive.endSwap(FOLDER, DATABASE);
  run(beside, { dropDatabase: 1, writeConcern: MAJORITY });
  const documents = archive.countDocuments(trailer);
  return { archive: name, documents, seconds: Math.round(seconds() * 10) / 10, before };
}

end(process.env.FROM === "list" ? show : restore);
