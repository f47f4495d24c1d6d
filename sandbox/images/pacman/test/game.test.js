// The rules of the game, without a page. That a person can play it in a browser is shown by tests/e2e.

import assert from "node:assert/strict";
import test from "node:test";

import { Game, LIVES, POINTS, mostPoints } from "../public/js/game.js";
import { COLUMNS, HEADINGS, ROWS, cellsWith, isOpen, key, next, stepsTo } from "../public/js/maze.js";
import { POINTS_PER_LEVEL } from "../src/routes.js";

const WAYS = Object.values(HEADINGS);
const FRAME = 1 / 60;

/** Plays until something holds, or a game of ten minutes has gone by. */
function playUntil(game, holds, steer = () => {}) {
  for (let frame = 0; frame < 600 / FRAME; frame++) {
    if (holds()) return;
    steer(game);
    game.step(FRAME);
  }
  assert.fail(`after ten minutes: ${game.phase}, level ${game.level}, score ${game.score}`);
}

/** A number from 0 to less than 1, the same row of them for the same seed. */
function dice(seed) {
  return () => (seed = (seed * 48271) % 2147483647) / 2147483647;
}

/** Goes the shortest way to a dot. */
function hungry(game) {
  const dot = [...game.dots, ...game.pellets].map((cell) => ({ x: cell % COLUMNS, y: Math.floor(cell / COLUMNS) }))[0];
  if (!dot) return;
  const steps = stepsTo(dot);
  const { cell, heading, progress } = game.pacman;
  const crossing = progress > 0 ? next(cell, heading) : cell;
  if (steps.get(key(crossing)) === 0) return;
  const ways = WAYS.filter((way) => isOpen(next(crossing, way)));
  const far = (way) => steps.get(key(next(crossing, way)));
  game.turn(ways.reduce((best, way) => (far(way) < far(best) ? way : best)));
}

test("no score that can be reached is implausible to the server", () => {
  assert.ok(mostPoints() <= POINTS_PER_LEVEL, `${mostPoints()} points`);
});

test("every dot can be reached, and no way is a dead end", () => {
  const steps = stepsTo(cellsWith("P")[0]);
  for (const cell of cellsWith(".oP ")) {
    assert.ok(steps.has(key(cell)), `${cell.x},${cell.y} cannot be reached`);
    assert.ok(WAYS.filter((way) => isOpen(next(cell, way))).length >= 2, `${cell.x},${cell.y} is a dead end`);
  }
});

test("the maze is the same on both sides", () => {
  for (let y = 0; y < ROWS; y++) {
    for (let x = 0; x < COLUMNS; x++) assert.equal(isOpen({ x, y }), isOpen({ x: COLUMNS - 1 - x, y }), `${x},${y}`);
  }
});

test("who never turns loses every life, and the game is over", () => {
  const game = new Game(10, dice(1));
  playUntil(game, () => game.phase === "over");
  assert.equal(game.lives, 0);
  assert.equal(game.won, false);
  assert.ok(game.score > 0);
});

test("an empty maze is a new level, and the last level is won", () => {
  const game = new Game(2);
  const clear = () => {
    game.ghosts = [];
    hungry(game);
  };
  playUntil(game, () => game.level === 2, clear);
  const [dots, pellets] = [cellsWith(".").length, cellsWith("o").length];
  assert.equal(game.score, dots * POINTS.dot + pellets * POINTS.pellet);
  assert.equal(game.dots.size, dots);
  playUntil(game, () => game.phase === "over", clear);
  assert.equal(game.won, true);
  assert.equal(game.lives, LIVES);
  assert.equal(game.level, 2);
});

test("four ghosts in a row are worth more each, and every one goes home and comes out again", () => {
  const game = new Game(10, dice(3));
  playUntil(game, () => game.ghosts.every((ghost) => ghost.task === "roam"), keepAway);
  game.pellets.add(key(game.pacman.cell));
  game.step(FRAME);
  assert.ok(game.ghosts.every((ghost) => ghost.afraid));
  for (const points of POINTS.ghosts) {
    const ghost = game.ghosts.find(({ afraid }) => afraid);
    Object.assign(game.pacman, { cell: ghost.cell, progress: ghost.progress, heading: ghost.heading });
    const before = game.score;
    game.step(FRAME);
    assert.equal(game.popups.at(-1).text, String(points));
    assert.ok(game.score >= before + points);
    assert.equal(ghost.task, "home");
  }
  playUntil(game, () => game.ghosts.every((ghost) => ghost.task === "roam"), keepAway);
});

test("whatever is pressed, everybody stays on the ways and the score stays plausible", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = dice(seed);
    const game = new Game(10, random);
    playUntil(game, () => game.phase === "over", () => {
      if (random() < 0.1) game.turn(WAYS[Math.floor(random() * WAYS.length)]);
      assert.ok(isOpen(game.pacman.cell), `seed ${seed}: Pacman is in a wall`);
      for (const { cell, name } of game.ghosts) assert.ok(isOpen(cell, true), `seed ${seed}: ${name} is in a wall`);
    });
    assert.ok(game.score / game.level <= POINTS_PER_LEVEL, `seed ${seed}: ${game.score} in ${game.level}`);
  }
});

/** Holds Pacman where no ghost is, so that a test can wait for them. */
function keepAway(game) {
  const corners = cellsWith("o");
  const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
  const away = (cell) => Math.min(...game.ghosts.map((ghost) => distance(ghost.cell, cell)));
  game.pellets.clear();
  Object.assign(game.pacman, { cell: corners.reduce((a, b) => (away(b) > away(a) ? b : a)), progress: 0 });
}
