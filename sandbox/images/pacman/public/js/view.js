// Draws a game on a canvas, sharp at every size and pixel density.

import { COLUMNS, HEADINGS, ROWS, cellsWith, signAt } from "./maze.js";

const COLOURS = { wall: "#2f5bff", inside: "#070b24", dot: "#ffd9b8", pacman: "#ffe03d", afraid: "#2743ff" };
const TURN = 2 * Math.PI;
// The house's inside and the tunnel's mouths are no walls, and nothing else lies between two of them.
const WALLS = cellsWith("#");

/** A canvas that shows a game; its units are cells. */
export class View {
  #canvas;
  #pen;
  #maze;
  #cell = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    new ResizeObserver(() => this.#fit()).observe(canvas);
    this.#fit();
  }

  /** Shows the game as it is; `seconds` drives what blinks and chews. */
  draw(game, seconds) {
    const pen = this.#pen;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.#maze, 0, 0);
    // A cell's centre is at whole numbers.
    pen.setTransform(this.#cell, 0, 0, this.#cell, this.#cell / 2, this.#cell / 2);
    if (game.phase === "cleared") this.#flash(game.clock);
    this.#dots(game, seconds);
    if (game.phase !== "dying" && game.phase !== "cleared") {
      for (const ghost of game.ghosts) this.#across(ghost.position, () => this.#ghost(ghost, game, seconds));
    }
    if (game.phase !== "over" || game.won) this.#across(game.pacman.position, () => this.#pacman(game, seconds));
    for (const { x, y, text } of game.popups) this.#text(text, x, y, 0.62, "#7df9ff");
    if (game.phase === "ready" && game.clock > 0) this.#text("READY!", 10, 11, 0.95, COLOURS.pacman);
  }

  #fit() {
    const width = Math.max(COLUMNS, Math.round(this.#canvas.clientWidth * devicePixelRatio));
    this.#cell = width / COLUMNS;
    this.#canvas.width = width;
    this.#canvas.height = Math.round(this.#cell * ROWS);
    this.#maze = this.#drawMaze();
  }

  /** The walls, drawn once for each size: as wide lines with narrower ones on top, so that outlines remain. */
  #drawMaze() {
    const sheet = document.createElement("canvas");
    sheet.width = this.#canvas.width;
    sheet.height = this.#canvas.height;
    const pen = sheet.getContext("2d");
    pen.fillStyle = "#03040c";
    pen.fillRect(0, 0, sheet.width, sheet.height);
    pen.setTransform(this.#cell, 0, 0, this.#cell, this.#cell / 2, this.#cell / 2);
    pen.lineCap = pen.lineJoin = "round";
    const walls = wallLines();
    const stroke = (width, style) => {
      pen.lineWidth = width;
      pen.strokeStyle = style;
      pen.stroke(walls);
    };
    pen.shadowColor = COLOURS.wall;
    pen.shadowBlur = this.#cell * 0.45;
    stroke(0.56, COLOURS.wall);
    pen.shadowBlur = 0;
    stroke(0.56, "#5f86ff");
    stroke(0.44, COLOURS.inside);
    pen.lineCap = "butt";
    pen.lineWidth = 0.16;
    pen.strokeStyle = "#ff9bd5";
    for (const { x, y } of cellsWith("-")) {
      pen.beginPath();
      pen.moveTo(x - 0.72, y);
      pen.lineTo(x + 0.72, y);
      pen.stroke();
    }
    return sheet;
  }

  #flash(clock) {
    if (Math.floor(clock * 4) % 2 === 0) return;
    const pen = this.#pen;
    pen.lineCap = pen.lineJoin = "round";
    pen.lineWidth = 0.56;
    pen.strokeStyle = "#ffffff";
    pen.stroke(wallLines());
    pen.lineWidth = 0.44;
    pen.strokeStyle = COLOURS.inside;
    pen.stroke(wallLines());
  }

  #dots({ dots, pellets }, seconds) {
    const beat = 0.3 + 0.07 * Math.sin(seconds * 7);
    this.#pen.fillStyle = COLOURS.dot;
    this.#pen.beginPath();
    for (const [cells, radius] of [[dots, 0.1], [pellets, beat]]) {
      for (const cell of cells) {
        const x = cell % COLUMNS;
        const y = Math.floor(cell / COLUMNS);
        this.#pen.moveTo(x + radius, y);
        this.#pen.arc(x, y, radius, 0, TURN);
      }
    }
    this.#pen.fill();
  }

  /** Draws at a place, and a second time where the tunnel's ends meet. */
  #across({ x, y }, draw) {
    for (const shift of x > COLUMNS - 1.5 ? [0, -COLUMNS] : x < 0.5 ? [0, COLUMNS] : [0]) {
      this.#pen.save();
      this.#pen.translate(x + shift, y);
      draw();
      this.#pen.restore();
    }
  }

  #pacman({ clock, pacman, phase }, seconds) {
    const pen = this.#pen;
    const chewing = phase === "play" ? 0.06 + 0.3 * Math.abs(Math.sin(seconds * 12)) : 0.25;
    // Dying, the mouth opens until nothing is left.
    const mouth = phase === "dying" ? 0.25 + Math.max(0, clock - 0.3) * 2.9 : chewing;
    if (mouth >= Math.PI) return;
    pen.rotate(phase === "dying" ? -Math.PI / 2 : Math.atan2(pacman.heading.y, pacman.heading.x));
    pen.fillStyle = COLOURS.pacman;
    pen.beginPath();
    pen.moveTo(-0.08, 0);
    pen.arc(0, 0, 0.66, mouth, TURN - mouth);
    pen.closePath();
    pen.fill();
  }

  #ghost({ afraid, colour, heading, task, wait }, { fright }, seconds) {
    const pen = this.#pen;
    if (task === "wait") pen.translate(0, 0.12 * Math.sin(seconds * 5 + wait));
    const pale = afraid && fright < 2 && Math.floor(fright * 5) % 2 === 0;
    if (task !== "home") {
      pen.fillStyle = pale ? "#f2f4ff" : afraid ? COLOURS.afraid : colour;
      pen.beginPath();
      pen.arc(0, -0.06, 0.6, Math.PI, TURN);
      // Three feet, which change places while it floats.
      const lift = Math.floor(seconds * 6) % 2 === 0 ? 0.02 : 0.14;
      pen.lineTo(0.6, 0.62);
      for (const [x, up] of [[0.4, true], [0.2, false], [0, true], [-0.2, false], [-0.4, true], [-0.6, false]]) {
        pen.lineTo(x, 0.62 - (up ? lift : 0));
      }
      pen.closePath();
      pen.fill();
    }
    if (afraid) this.#fear(pale ? "#ff4b4b" : "#ffe3c7");
    else this.#eyes(heading);
  }

  #eyes(heading) {
    const pen = this.#pen;
    const look = heading ?? HEADINGS.left;
    for (const side of [-0.24, 0.24]) {
      pen.fillStyle = "#ffffff";
      pen.beginPath();
      pen.ellipse(side + 0.05 * look.x, -0.12 + 0.05 * look.y, 0.16, 0.2, 0, 0, TURN);
      pen.fill();
      pen.fillStyle = "#1b2bd6";
      pen.beginPath();
      pen.arc(side + 0.13 * look.x, -0.12 + 0.15 * look.y, 0.09, 0, TURN);
      pen.fill();
    }
  }

  #fear(colour) {
    const pen = this.#pen;
    pen.fillStyle = pen.strokeStyle = colour;
    for (const side of [-0.2, 0.2]) pen.fillRect(side - 0.07, -0.2, 0.14, 0.14);
    pen.lineWidth = 0.07;
    pen.beginPath();
    pen.moveTo(-0.38, 0.28);
    for (const [x, y] of [[-0.19, 0.16], [0, 0.28], [0.19, 0.16], [0.38, 0.28]]) pen.lineTo(x, y);
    pen.stroke();
  }

  #text(text, x, y, size, colour) {
    const pen = this.#pen;
    pen.font = `900 ${size}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineWidth = 0.22;
    pen.strokeStyle = "#03040c";
    pen.strokeText(text, x, y);
    pen.fillStyle = colour;
    pen.fillText(text, x, y);
  }
}

/** Lines from each wall's centre to those of the walls beside and below it; a lone one is a point. */
function wallLines() {
  const path = new Path2D();
  for (const { x, y } of WALLS) {
    path.moveTo(x, y);
    path.lineTo(x, y);
    for (const [right, down] of [[1, 0], [0, 1]]) {
      if (x + right >= COLUMNS || y + down >= ROWS || signAt({ x: x + right, y: y + down }) !== "#") continue;
      path.moveTo(x, y);
      path.lineTo(x + right, y + down);
    }
  }
  return path;
}
