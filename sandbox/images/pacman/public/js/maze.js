// The maze: where walls and dots are, and which way leads where.

// # wall, . dot, o power pellet, - door of the ghosts' house, G its inside, P where Pacman starts, ' ' an empty way.
const PLAN = [
  "#####################",
  "#.....#.......#.....#",
  "#o###.#.##.##.#.###o#",
  "#.#.....#...#.....#.#",
  "#.#.###.#.#.#.###.#.#",
  "#.......#.#.#.......#",
  "###.#.###.#.###.#.###",
  "#...#...     ...#...#",
  "#.#...#.##-##.#...#.#",
  " ...#.#.#GGG#.#.#... ",
  "#.#.#...#####...#.#.#",
  "#.#.###.......###.#.#",
  "#.......#.#.#.......#",
  "###.#.###.#.###.#.###",
  "#...#.....P.....#...#",
  "#.###.###.#.###.###.#",
  "#o....#...#...#....o#",
  "#.###.#.#####.#.###.#",
  "#...................#",
  "#####################",
];

export const COLUMNS = PLAN[0].length;
export const ROWS = PLAN.length;
/** Headings, in the order in which a ghost that cannot decide takes them. */
export const HEADINGS = {
  up: { x: 0, y: -1 },
  left: { x: -1, y: 0 },
  down: { x: 0, y: 1 },
  right: { x: 1, y: 0 },
};

/** The sign of the plan in a cell. */
export function signAt({ x, y }) {
  return PLAN[y]?.[x] ?? "#";
}

/** Every cell with one of these signs, row by row. */
export function cellsWith(signs) {
  const cells = [];
  for (let y = 0; y < ROWS; y++) {
    for (let x = 0; x < COLUMNS; x++) if (signs.includes(PLAN[y][x])) cells.push({ x, y });
  }
  return cells;
}

/** The cell next to a cell; the tunnel's ends are next to each other. */
export function next({ x, y }, heading) {
  return { x: (x + heading.x + COLUMNS) % COLUMNS, y: y + heading.y };
}

/** Whether one may go there: the house and its door are for ghosts that go home or come from there. */
export function isOpen(cell, withHouse = false) {
  const sign = signAt(cell);
  return sign !== "#" && (withHouse || (sign !== "-" && sign !== "G"));
}

/** Cell -> steps from there to a goal, through the house, too. */
export function stepsTo(goal) {
  const steps = new Map([[key(goal), 0]]);
  const queue = [goal];
  for (const cell of queue) {
    for (const heading of Object.values(HEADINGS)) {
      const neighbour = next(cell, heading);
      if (isOpen(neighbour, true) && !steps.has(key(neighbour))) {
        steps.set(key(neighbour), steps.get(key(cell)) + 1);
        queue.push(neighbour);
      }
    }
  }
  return steps;
}

/** A cell as the key of a Map or a Set. */
export function key({ x, y }) {
  return y * COLUMNS + x;
}
