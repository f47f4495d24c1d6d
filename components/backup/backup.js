// Takes a backup, verifies it by restoring it into the scratch database, and then deletes the oldest backups.

load(`${__dirname}/database.js`);

// A database that was lost would otherwise fill the volume with archives of next to nothing, and they would push out the
// good ones. Its first player writes a document again, so each collection must hold half of what it held; unless a restore
// has brought back fewer since.
function refuseToArchiveALoss(db) {
  const newest = archive.list(FOLDER, DATABASE).filter((each) => each.verified && !each.beforeRestore).pop();
  if (!newest || process.env.EMPTIED === "yes") return;
  const there = countsOf(db);
  // An older version noted down only the sum.
  const counts = newest.collections || (Object.keys(there).length ? {} : { "*": newest.documents });
  const share = archive.isRestoredSince(FOLDER, DATABASE, newest.time) ? 0 : 0.5;
  for (const [name, documents] of Object.entries(counts)) {
    const left = there[name] || 0;
    if (!documents || (left > 0 && left >= share * documents)) continue;
    throw new archive.Refusal(
      `${DATABASE}.${name} holds ${left} documents, and archive ${newest.name} holds ${documents} of it: no backup was ` +
        "written. Restore the archive; or, if they were deleted on purpose: make backup EMPTIED=yes",
    );
  }
}

// Returns which restore was the last. One that begins while this reads would make it half old and half new.
function refuseAHalfRestored() {
  const unfinished = archive.unfinishedSwap(FOLDER, DATABASE);
  if (!unfinished) return archive.lastSwap(FOLDER, DATABASE);
  // No refusal for good: if that restore still runs, the next try of the Job finds it ended.
  throw new Error(
    `the restore of ${unfinished.archive} was interrupted while it replaced collections: no backup was written; run it ` +
      `again: make restore FROM=${unfinished.archive}`,
  );
}

// A user with readWrite cannot drop a database, but its collections, and it goes with the last of them.
function dropFrom(scratch, chosen) {
  for (const { name } of first(scratch, { listCollections: 1 }).filter((each) => chosen(each.name))) {
    run(scratch, { drop: name, writeConcern: MAJORITY });
  }
}

async function verify(scratch, name, header, trailer) {
  // Only collections of this run: another backup may run at the same time.
  const prefix = `${name}.`;
  dropFrom(scratch, (collection) => archive.isStale(collection, DEADLINE));
  try {
    await fill(scratch, prefix, name, header, false);
    compare(scratch, prefix, header, trailer);
  } finally {
    dropFrom(scratch, (collection) => collection.startsWith(prefix));
  }
}

async function backup() {
  const set = connectToSet("mongo-backup");
  refuseToArchiveALoss(set.getDB(DATABASE));
  const { name, header, trailer, bytes } = dump(set, "", refuseAHalfRestored);
  const documents = archive.countDocuments(trailer);
  say(`wrote ${name}, ${bytes} bytes; restoring it into ${process.env.SCRATCH_DATABASE}`);
  await verify(set.getDB(process.env.SCRATCH_DATABASE), name, header, trailer);
  archive.markVerified(FOLDER, name, trailer);
  say("verified: what was restored has the same documents and indexes");

  const pruned = archive.prune(FOLDER, DATABASE, Number(process.env.KEEP));
  if (pruned.length) say(`deleted ${pruned.join(", ")}`);
  return { archive: name, bytes, documents, seconds: Math.round(seconds() * 10) / 10, verified: true };
}

end(backup);
