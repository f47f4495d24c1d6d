// The page's files. They are few and never change, so they are read once; what is not among them cannot be asked for.

import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Path of a request -> `{type, body}`, for every file in a folder and in its folders; `/` is `index.html`. */
export function readPages(folder, prefix = "/") {
  const pages = new Map();
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = join(folder, entry.name);
    if (entry.isDirectory()) {
      for (const [path, page] of readPages(file, `${prefix}${entry.name}/`)) pages.set(path, page);
    } else {
      pages.set(prefix + entry.name, { type: TYPES[extname(entry.name)], body: readFileSync(file) });
    }
  }
  if (pages.has(`${prefix}index.html`)) pages.set(prefix, pages.get(`${prefix}index.html`));
  return pages;
}
