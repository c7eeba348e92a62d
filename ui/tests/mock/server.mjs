/**
 * Serves the built page and the answers of an imaginary pool, under the strictest policy the real
 * one may set.
 *
 *   npm run mock -- [--port 24783] [--history SECONDS] [--fail-after SECONDS]
 *
 * `--fail-after` closes every API connection from then on, to look at a page that went stale.
 */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { World } from "./world.mjs";

const DIST = fileURLToPath(new URL("../../dist", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/** Starts the server; port 0 takes any free one. */
export async function startMock({ port = 0, historyS = 0, failAfterS = Infinity } = {}) {
  const startMs = Date.now();
  const world = new World({ startMs, historyS });
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://mock");
    const api = url.pathname.startsWith("/api/") || url.pathname === "/readyz";
    if (api && Date.now() - startMs > failAfterS * 1000) {
      request.socket.destroy();
      return;
    }
    if (api) answer(response, ...route(world, url));
    else void page(url.pathname, response);
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(undefined)));
  const address = server.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  return { url: `http://127.0.0.1:${bound}`, close: () => server.close() };
}

function route(world, url) {
  const t = world.seconds();
  const miner = /^\/api\/miner\/([^/]+)(\/balance)?$/.exec(url.pathname);
  if (miner !== null) {
    const found = world.miner(decodeURIComponent(miner[1] ?? ""), t);
    return found === null ? [404, { error: "unknown miner" }] : [200, found];
  }
  switch (url.pathname) {
    case "/api/info":
      return [200, world.info()];
    case "/api/stats":
      return [200, world.stats(t)];
    case "/api/blocks":
      return [200, paged(world.blocks(t), url)];
    case "/api/payouts/recent":
      return [200, paged(world.payouts(t), url)];
    case "/readyz":
      return [200, { ready: true, reasons: [] }];
    default:
      return [404, { error: "no such route" }];
  }
}

function paged(all, url) {
  const limit = Number(url.searchParams.get("limit") ?? 25);
  const offset = Number(url.searchParams.get("offset") ?? 0);
  const items = all.slice(offset, offset + limit);
  return { items, page: { limit, offset, returned: items.length, total: all.length } };
}

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
}

async function page(path, response) {
  const file = join(DIST, normalize(path === "/" ? "/index.html" : path));
  try {
    const body = await readFile(file);
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-security-policy": POLICY,
    });
    response.end(body);
  } catch {
    answer(response, 404, { error: "no such file" });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "24783" },
      history: { type: "string", default: "0" },
      "fail-after": { type: "string", default: "Infinity" },
    },
  });
  const mock = await startMock({
    port: Number(values.port),
    historyS: Number(values.history),
    failAfterS: Number(values["fail-after"]),
  });
  console.log(`mock pool at ${mock.url}`);
}
