// The rules: who moves where and when, what is worth how much, and when it is over. Knows nothing of page and canvas.

import { COLUMNS, HEADINGS, ROWS, cellsWith, isOpen, key, next, stepsTo } from "./maze.js";

// The server takes 2840 points a level at most, so twice the arcade's number of dots are worth half each.
export const POINTS = { dot: 5, pellet: 25, ghosts: [40, 80, 120, 160] };
export const LIVES = 3;

const REVIVAL = { x: 10, y: 9 };
const DOORSTEP = { x: 10, y: 7 };
const TO_DOORSTEP = stepsTo(DOORSTEP);
const HOME = stepsTo(REVIVAL);
const SECONDS = { ready: 1.6, dying: 1.4, cleared: 1.6, popup: 0.9 };
// Ghosts keep to their corners and hunt in turns.
const SCATTER_SECONDS = 5;
const HUNT_SECONDS = 20;
const TOUCH = 0.6;

// Each hunts in its own way: `aim` is the cell that it heads for while it hunts, `corner` while it does not.
const GHOSTS = [
  {
    name: "chaser",
    colour: "#ff4b4b",
    start: DOORSTEP,
    corner: { x: COLUMNS - 2, y: 0 },
    wait: 0,
    aim: ({ pacman }) => pacman.cell,
  },
  {
    name: "ambusher",
    colour: "#ff9bd5",
    start: { x: 10, y: 9 },
    corner: { x: 1, y: 0 },
    wait: 1,
    aim: ({ pacman }) => ahead(pacman, 4),
  },
  {
    name: "flanker",
    colour: "#3fe0ff",
    start: { x: 9, y: 9 },
    corner: { x: COLUMNS - 2, y: ROWS },
    wait: 4,
    aim: ({ ghosts, pacman }) => {
      const middle = ahead(pacman, 2);
      return { x: 2 * middle.x - ghosts[0].cell.x, y: 2 * middle.y - ghosts[0].cell.y };
    },
  },
  {
    name: "shy one",
    colour: "#ffb347",
    start: { x: 11, y: 9 },
    corner: { x: 1, y: ROWS },
    wait: 8,
    aim: ({ pacman }, ghost) => (apart(ghost.cell, pacman.cell) > 6 ? pacman.cell : ghost.corner),
  },
];

/** Somebody on the way from the centre of one cell to the next. */
class Walker {
  constructor(cell, heading) {
    this.cell = cell;
    this.heading = heading;
    /** How much of the way to the next cell is done, 0 to less than 1. */
    this.progress = 0;
  }

  get position() {
    return { x: this.cell.x + this.heading.x * this.progress, y: this.cell.y + this.heading.y * this.progress };
  }

  /** The cell that is closest. */
  get closest() {
    return this.progress < 0.5 ? this.cell : next(this.cell, this.heading);
  }

  /** Goes on, and asks `choose` in every centre for a heading; none means to stay. */
  walk(distance, choose) {
    while (distance > 0) {
      if (this.progress === 0) {
        const heading = choose(this);
        if (!heading) return;
        this.heading = heading;
      }
      const rest = 1 - this.progress;
      if (distance < rest) {
        this.progress += distance;
        return;
      }
      distance -= rest;
      this.cell = next(this.cell, this.heading);
      this.progress = 0;
    }
  }

  turnBack() {
    if (this.progress > 0) {
      this.cell = next(this.cell, this.heading);
      this.progress = 1 - this.progress;
    }
    this.heading = reverse(this.heading);
  }
}

/** One game, from the first level to the last life. `step` moves it on; all else is there to be read. */
export class Game {
  /**
   * @param {number} maxLevel the level after which it is won
   * @param {() => number} random a number from 0 to less than 1
   */
  constructor(maxLevel, random = Math.random) {
    this.maxLevel = maxLevel;
    this.random = random;
    this.score = 0;
    this.level = 1;
    this.lives = LIVES;
    this.won = false;
    this.#fillMaze();
    this.#placeAll();
  }

  /** Where Pacman shall turn as soon as there is a way. */
  turn(heading) {
    this.wanted = heading;
  }

  /** Moves everything on by some seconds; keep them below a tenth, or a meeting may be missed. */
  step(seconds) {
    this.clock += seconds;
    this.popups = this.popups.filter(({ until }) => until > this.clock);
    if (this.phase === "play") this.#play(seconds);
    else if (this.phase !== "over" && this.clock >= SECONDS[this.phase]) this.#nextPhase();
  }

  #play(seconds) {
    this.fright = Math.max(0, this.fright - seconds);
    if (this.fright === 0) for (const ghost of this.ghosts) ghost.afraid = false;
    this.#walkPacman(seconds);
    this.#eat();
    for (const ghost of this.ghosts) this.#walkGhost(ghost, seconds);
    for (const ghost of this.ghosts) if (apart(ghost.position, this.pacman.position) < TOUCH) this.#meet(ghost);
    if (this.phase === "play" && this.dots.size + this.pellets.size === 0) this.#enter("cleared");
  }

  #nextPhase() {
    if (this.phase === "ready") {
      this.#enter("play");
    } else if (this.phase === "dying") {
      this.lives -= 1;
      if (this.lives === 0) this.#enter("over");
      else this.#placeAll();
    } else if (this.level === this.maxLevel) {
      this.won = true;
      this.#enter("over");
    } else {
      this.level += 1;
      this.#fillMaze();
      this.#placeAll();
    }
  }

  #enter(phase) {
    this.phase = phase;
    /** Seconds since the phase began. */
    this.clock = 0;
    this.popups = [];
  }

  #fillMaze() {
    this.dots = new Set(cellsWith(".").map(key));
    this.pellets = new Set(cellsWith("o").map(key));
  }

  #placeAll() {
    this.pacman = new Walker(cellsWith("P")[0], HEADINGS.left);
    this.wanted = HEADINGS.left;
    this.ghosts = GHOSTS.map((kind) => {
      const task = kind.start === DOORSTEP ? "roam" : "wait";
      return Object.assign(new Walker(kind.start, HEADINGS.left), kind, { task, afraid: false });
    });
    /** Seconds for which ghosts are still afraid. */
    this.fright = 0;
    this.chain = 0;
    this.#enter("ready");
  }

  #walkPacman(seconds) {
    const { pacman, wanted } = this;
    if (pacman.progress > 0 && wanted === reverse(pacman.heading)) pacman.turnBack();
    pacman.walk(7.4 * seconds, ({ cell, heading }) => [wanted, heading].find((way) => isOpen(next(cell, way))));
  }

  #eat() {
    const cell = key(this.pacman.closest);
    if (this.dots.delete(cell)) this.score += POINTS.dot;
    if (!this.pellets.delete(cell)) return;
    this.score += POINTS.pellet;
    this.fright = Math.max(3, 7.5 - 0.5 * this.level);
    this.chain = 0;
    for (const ghost of this.ghosts) {
      if (ghost.task === "home") continue;
      ghost.afraid = true;
      if (ghost.task === "roam") ghost.turnBack();
    }
  }

  #walkGhost(ghost, seconds) {
    if (ghost.task === "wait" && this.clock >= ghost.wait) ghost.task = "leave";
    if (ghost.task === "wait") return;
    ghost.walk(this.#paceOf(ghost) * seconds, () => this.#choose(ghost));
  }

  #paceOf(ghost) {
    if (ghost.task === "home") return 14;
    return ghost.afraid ? 4 : Math.min(7.8, 6.2 + 0.2 * this.level);
  }

  #choose(ghost) {
    if (ghost.task === "home" && same(ghost.cell, REVIVAL)) ghost.task = "leave";
    if (ghost.task === "leave" && same(ghost.cell, DOORSTEP)) ghost.task = "roam";
    if (ghost.task !== "roam") return downhill(ghost.cell, ghost.task === "home" ? HOME : TO_DOORSTEP);

    const back = reverse(ghost.heading);
    const ways = Object.values(HEADINGS).filter((way) => way !== back && isOpen(next(ghost.cell, way)));
    if (ways.length === 0) return back;
    if (ghost.afraid) return ways[Math.floor(this.random() * ways.length)];
    const hunts = this.clock % (SCATTER_SECONDS + HUNT_SECONDS) >= SCATTER_SECONDS;
    const goal = hunts ? ghost.aim(this, ghost) : ghost.corner;
    return least(ways, (way) => apart(next(ghost.cell, way), goal));
  }

  #meet(ghost) {
    if (this.phase !== "play" || ghost.task === "home") return;
    if (!ghost.afraid) return this.#enter("dying");
    const points = POINTS.ghosts[this.chain];
    this.score += points;
    this.chain += 1;
    ghost.afraid = false;
    ghost.task = "home";
    this.popups.push({ ...ghost.position, text: String(points), until: this.clock + SECONDS.popup });
  }
}

/** The most points that one level gives: all that is in it, and four ghosts for each power pellet. */
export function mostPoints() {
  const ghosts = POINTS.ghosts.reduce((sum, points) => sum + points, 0);
  return cellsWith(".").length * POINTS.dot + cellsWith("o").length * (POINTS.pellet + ghosts);
}

function ahead({ cell, heading }, steps) {
  return { x: cell.x + heading.x * steps, y: cell.y + heading.y * steps };
}

function apart(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

function same(a, b) {
  return a.x === b.x && a.y === b.y;
}

function reverse(heading) {
  return Object.values(HEADINGS).find(({ x, y }) => x + heading.x === 0 && y + heading.y === 0);
}

function downhill(cell, steps) {
  const ways = Object.values(HEADINGS).filter((way) => isOpen(next(cell, way), true));
  return least(ways, (way) => steps.get(key(next(cell, way))) ?? Infinity);
}

function least(choices, cost) {
  return choices.reduce((best, choice) => (cost(choice) < cost(best) ? choice : best));
}
