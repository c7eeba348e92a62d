/** A pool on a simulated network, as a child process with ports and a data directory of its own. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const START_MS = 30_000;
const STOP_MS = 30_000;

/** Starts `binary`; resolves when it has said where its page is. */
export async function startPool(binary) {
  if (!existsSync(binary)) throw new Error(`no pool at ${binary}: cargo build -p meshpool -p meshpool-devnet, or give --meshpool`);
  const dir = await mkdtemp(join(tmpdir(), "meshpool-browser-"));
  const [stratum, daemon] = await freePorts(2);
  const child = spawn(binary, ["up", "--devnet", "--data-dir", dir], {
    env: {
      ...process.env,
      POOL_API__LISTEN: "127.0.0.1:0",
      POOL_STRATUM__LISTEN: `127.0.0.1:${stratum}`,
      POOL_DAEMON__URL: `http://127.0.0.1:${daemon}`,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    log.push(line);
    if (log.length > 40) log.shift();
  });
  const exited = once(child, "exit");
  const pool = { url: "", log, stop: () => stopPool(child, exited, dir) };
  try {
    pool.url = await pageUrl(child, exited);
  } catch (error) {
    await pool.stop().catch(() => undefined);
    throw new Error(`${error.message}\n${log.join("\n")}`, { cause: error });
  }
  return pool;
}

async function pageUrl(child, exited) {
  const lines = createInterface({ input: child.stdout });
  const said = new Promise((resolve) => {
    lines.on("line", (line) => {
      const found = /^page\s+(\S+)/.exec(line);
      if (found !== null) resolve(found[1]);
    });
  });
  const ended = exited.then(() => Promise.reject(new Error("the pool ended at its start")));
  return await Promise.race([said, ended, late(START_MS, "the pool did not say where its page is")]);
}

/** SIGTERM; a pool that does not end by itself with 0 is an error. */
async function stopPool(child, exited, dir) {
  try {
    child.kill("SIGTERM");
    const [code] = await Promise.race([exited, late(STOP_MS, "the pool did not stop")]);
    if (code !== 0) throw new Error(`the pool ended with ${code}`);
  } finally {
    child.kill("SIGKILL");
    await rm(dir, { recursive: true, force: true });
  }
}

function late(ms, text) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(text)), ms).unref();
  });
}

/** Ports that nobody listened on a moment ago. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}
