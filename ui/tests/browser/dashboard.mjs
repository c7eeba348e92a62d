/**
 * Opens a running pool's page in a real browser and looks at it.
 *
 *   npm run browser -- --url URL [--screenshot FILE] [--wait-settled] [--timeout SECONDS]
 *                      [--linger SECONDS] [--width PX] [--scheme light|dark] [--chromium PATH]
 *
 * `--wait-settled` waits until a settled payout is visible. Prints one JSON line about what it saw.
 * Exit code 0: seen, and the page was clean. 1: not seen in time, or the page reported an error
 * (a refused script or style counts). 2: wrong use.
 */

import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const SETTLED = '[data-testid="payout-row"][data-state="settled"]';
const LIVE = '[data-testid="freshness"][data-state="live"]';

function options() {
  const { values } = parseArgs({
    options: {
      url: { type: "string" },
      screenshot: { type: "string" },
      "wait-settled": { type: "boolean", default: false },
      timeout: { type: "string", default: "120" },
      linger: { type: "string", default: "0" },
      width: { type: "string", default: "1320" },
      scheme: { type: "string", default: "light" },
      chromium: { type: "string", default: process.env["CHROMIUM"] ?? "/usr/bin/chromium" },
    },
  });
  if (values.url === undefined) throw new Error("--url is missing");
  if (!existsSync(values.chromium)) throw new Error(`no browser at ${values.chromium}: install chromium or give --chromium`);
  return { ...values, url: values.url, timeoutMs: Number(values.timeout) * 1000 };
}

async function look(browser, wanted) {
  const page = await browser.newPage({
    viewport: { width: Number(wanted.width), height: 900 },
    colorScheme: wanted.scheme === "dark" ? "dark" : "light",
    reducedMotion: "reduce",
  });
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    // A pool that is not ready answers 503 by design, and the browser calls that an error too.
    if (message.type() === "error" && !message.text().includes("status of 503")) errors.push(message.text());
  });
  try {
    await page.goto(wanted.url, { timeout: wanted.timeoutMs });
    await page.waitForSelector(LIVE, { timeout: wanted.timeoutMs });
    if (wanted["wait-settled"]) await page.waitForSelector(SETTLED, { timeout: wanted.timeoutMs });
    await page.waitForTimeout(Number(wanted.linger) * 1000);
  } catch (error) {
    // The first line says it; what follows is the browser driver's own log.
    errors.push((error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "");
  }
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (overflow > 0) errors.push(`the page is ${overflow} px wider than the window`);
  if (wanted.screenshot !== undefined) await page.screenshot({ path: wanted.screenshot, fullPage: true });
  return {
    url: wanted.url,
    title: await page.title(),
    freshness: await page.getAttribute('[data-testid="freshness"]', "data-state").catch(() => null),
    blocks: await page.locator('[data-testid="block-row"]').count(),
    payouts: await page.locator('[data-testid="payout-row"]').count(),
    settled: await page.locator(SETTLED).count(),
    screenshot: wanted.screenshot ?? null,
    errors,
  };
}

let wanted;
try {
  wanted = options();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(2);
}
const browser = await chromium.launch({ executablePath: wanted.chromium, args: FLAGS });
try {
  const seen = await look(browser, wanted);
  console.log(JSON.stringify(seen));
  process.exitCode = seen.errors.length === 0 ? 0 : 1;
} finally {
  await browser.close();
}
