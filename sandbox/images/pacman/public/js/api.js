// What the page asks of its server. Addresses are relative: the page may be served under a path.

// More than the server can need: 30 s to find the database, 10 s to write. Who gives up earlier may call a score lost
// that is then saved.
const PATIENCE_MS = 45_000;

/** The ten best scores, best first. */
export function highScores() {
  return ask("highscores/list");
}

/** `{cloud, zone, host}` of the pod that answered. */
export function location() {
  return ask("location/metadata");
}

/** The level after which the game is won. */
export async function maxLevel() {
  const { maxLevel: level } = await ask("config");
  return level === "unlimited" ? Infinity : level;
}

/**
 * Saves a score.
 *
 * @throws {Error} it was not saved. The status says nothing about that: only `rs` does.
 */
export async function saveScore(score) {
  const answer = await ask("highscores", { method: "POST", body: new URLSearchParams(score) });
  if (answer.rs !== "success") throw new Error("the database did not take it");
}

async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => {
    throw new Error("the server did not answer");
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `the server answers ${response.status}`);
  return answer;
}
