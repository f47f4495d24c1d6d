// The page: keys and buttons in, score and messages out. `data-state` of the body says what is going on.

import { highScores, location, maxLevel, saveScore } from "./api.js";
import { Game } from "./game.js";
import { HEADINGS } from "./maze.js";
import { View } from "./view.js";

const KEYS = {
  ArrowUp: "up",
  ArrowLeft: "left",
  ArrowDown: "down",
  ArrowRight: "right",
  KeyW: "up",
  KeyA: "left",
  KeyS: "down",
  KeyD: "right",
};
const FRAME = 1 / 60;
// A page that was held up does not catch up on more than this.
const MOST_BEHIND = 0.1;
const LIST_TRIES = 5;
const LIST_PAUSE_MS = 400;

const $ = (id) => document.getElementById(id);
const view = new View($("maze"));
const place = { cloud: "unknown", zone: "unknown", host: "unknown" };
let levels = 10;
let game = new Game(levels);
let before = 0;
let behind = 0;

function state() {
  return document.body.dataset.state;
}

function setState(name) {
  document.body.dataset.state = name;
  $("start").hidden = name !== "ready";
  $("paused").hidden = name !== "paused";
  $("over").hidden = name !== "over";
  $("pause").disabled = name !== "playing" && name !== "paused";
  $("pause").textContent = name === "paused" ? "Resume" : "Pause";
}

function play() {
  game = new Game(levels);
  behind = 0;
  $("play").blur();
  setState("playing");
  say("Go!");
}

function pause() {
  if (state() === "playing") setState("paused");
  else if (state() === "paused") setState("playing");
}

function end() {
  setState("over");
  $("verdict").textContent = game.won ? "You won!" : "Game over";
  $("final").textContent = game.score;
  $("form").hidden = false;
  $("again").hidden = true;
  tell("", "");
  say(`${$("verdict").textContent} ${game.score} points in level ${game.level}.`);
  $("name").focus();
}

function turn(way) {
  if (state() === "ready") play();
  if (state() === "playing") game.turn(HEADINGS[way]);
}

/** For ears: a score that is read out at every dot would be heard all the time. */
function say(text) {
  $("news").textContent = text;
}

/** For eyes and ears: how saving went; `kind` is `good`, `bad` or nothing. */
function tell(text, kind) {
  $("message").textContent = text;
  $("message").dataset.kind = kind;
}

function frame(now) {
  const seconds = Math.min(MOST_BEHIND, (now - before) / 1000);
  before = now;
  if (state() === "playing") {
    behind += seconds;
    const { level, lives } = game;
    for (; behind >= FRAME; behind -= FRAME) game.step(FRAME);
    if (game.phase === "over") end();
    else if (game.level > level) say(`Level ${game.level}. ${game.score} points.`);
    else if (game.lives < lives) say(`${game.lives === 1 ? "Last life" : `${game.lives} lives left`}. ${game.score} points.`);
  }
  view.draw(game, now / 1000);
  show("score", game.score);
  show("level", game.level);
  show("lives", game.lives);
  requestAnimationFrame(frame);
}

function show(id, value) {
  const text = String(value);
  if ($(id).textContent === text) return;
  $(id).textContent = text;
  if (id === "lives") $("icons").replaceChildren(...Array.from({ length: value }, () => document.createElement("i")));
}

async function save(event) {
  event.preventDefault();
  const name = $("name").value.trim();
  if (!name) return tell("Type a name first.", "bad");
  const score = { name, ...place, score: game.score, level: game.level };
  $("save").disabled = true;
  tell("Saving…", "");
  try {
    await saveScore(score);
  } catch (error) {
    return tell(`Your score was NOT saved: ${error.message}. Try again.`, "bad");
  } finally {
    $("save").disabled = false;
  }
  $("form").hidden = true;
  $("again").hidden = false;
  $("again").focus();
  tell("Your score is saved.", "good");
  await list(score);
}

/** Shows the best scores. A member of the database that lags may not have the new one yet: then asks again. */
async function list(mine) {
  const isMine = (entry) => mine && entry.name === mine.name && entry.score === mine.score;
  try {
    let scores = await highScores();
    const belongs = () => mine && (scores.length < 10 || mine.score > scores.at(-1).score);
    for (let tries = 1; tries < LIST_TRIES && belongs() && !scores.some(isMine); tries++) {
      await new Promise((resolve) => setTimeout(resolve, LIST_PAUSE_MS));
      scores = await highScores();
    }
    $("scores").replaceChildren(...scores.map((entry) => row(entry, isMine(entry))));
    $("none").textContent = scores.length ? "" : "None yet. Yours could be the first.";
  } catch (error) {
    $("none").textContent = `The list cannot be read: ${error.message}.`;
  }
}

function row({ cloud, host, name, score, zone }, isMine) {
  const item = document.createElement("li");
  for (const [kind, text] of [["name", name], ["points", score]]) {
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    item.append(part);
  }
  item.title = `made on ${host}, ${cloud}, ${zone}`;
  if (isMine) item.className = "mine";
  return item;
}

async function locate() {
  Object.assign(place, await location());
  for (const [name, value] of Object.entries(place)) {
    $(name).textContent = value;
    $(name).title = value;
  }
}

document.addEventListener("keydown", (event) => {
  const way = KEYS[event.code];
  const typing = event.target instanceof HTMLInputElement;
  // A key that is still held from the game must not end up in the name.
  if (typing && way && event.repeat && !event.code.startsWith("Arrow")) event.preventDefault();
  if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.code === "KeyP") pause();
  if (!way) return;
  event.preventDefault();
  turn(way);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden && state() === "playing") pause();
});
for (const button of document.querySelectorAll("[data-way]")) {
  button.addEventListener("pointerdown", () => turn(button.dataset.way));
  // From the keyboard: a click without a pointer.
  button.addEventListener("click", (event) => event.detail === 0 && turn(button.dataset.way));
}
$("play").addEventListener("click", play);
$("again").addEventListener("click", play);
$("skip").addEventListener("click", play);
$("pause").addEventListener("click", (event) => {
  event.target.blur();
  pause();
});
$("form").addEventListener("submit", save);

setState("ready");
$("play").focus();
requestAnimationFrame(frame);
list();
locate().catch(() => {});
maxLevel().then((level) => (levels = level), () => {});
