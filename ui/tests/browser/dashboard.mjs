/**
 * Looks at a pool's page in a real browser, at the width of a desk and of a phone.
 *
 *   npm run browser -- [--url URL] [--meshpool FILE] [--until credited|settled] [--timeout SECONDS] [--chromium FILE]
 *   npm run screenshot        the same, and writes `screenshot.png` for the README
 *
 * Without `--url` it starts a pool of its own on a simulated network and stops it again. Prints one JSON line about
 * what it saw. Exit code 0: everything was seen and the browser had nothing to complain of (a refused script or
 * style counts). 1: something is wrong, and named. 2: wrong use, or no browser.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { startPool } from "./pool.mjs";

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
const WIDTHS = { desk: 1320, phone: 390 };
/** An address that is none: the page has to say so. */
const NONSENSE = "nonsense";
/** How long the line of the chart grows before a picture is taken. */
const PICTURE_MS = 45_000;

function options() {
  const target = process.env["CARGO_TARGET_DIR"] ?? fileURLToPath(new URL("../../../target", import.meta.url));
  const { values } = parseArgs({
    options: {
      url: { type: "string" },
      meshpool: { type: "string", default: join(target, "debug", "meshpool") },
      until: { type: "string", default: "settled" },
      screenshot: { type: "string" },
      timeout: { type: "string", default: "120" },
      chromium: { type: "string", default: process.env["CHROMIUM"] ?? "/usr/bin/chromium" },
    },
  });
  if (!["credited", "settled"].includes(values.until)) throw new Error("--until: must be credited or settled");
  if (!(Number(values.timeout) > 0)) throw new Error("--timeout: must be a number of seconds");
  if (!existsSync(values.chromium)) {
    throw new Error(`no browser at ${values.chromium}: install chromium (Debian: apt-get install chromium) or give --chromium`);
  }
  return { ...values, timeoutMs: Number(values.timeout) * 1000 };
}

/** One tab that writes down everything the browser complains of. */
async function open(browser, url, width, errors) {
  const page = await browser.newPage({ viewport: { width, height: 900 }, reducedMotion: "reduce" });
  page.on("pageerror", (error) => errors.push(`${width} px: ${error.message}`));
  page.on("console", (message) => {
    // The browser also calls answers errors that the page asks for on purpose: not ready yet, no such address.
    const expected = /status of (503|400)/.test(message.text()) && /\/(readyz|api\/miner\/.*)$/.test(message.location().url);
    if (message.type() === "error" && !expected) errors.push(`${width} px: ${message.text()}`);
  });
  await page.goto(url);
  return page;
}

async function fits(page, name, errors) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (over > 0) errors.push(`${name} is ${over} px wider than a window of ${page.viewportSize().width} px`);
}

const accepted = (page) =>
  page.locator(".figure", { hasText: "Shares accepted" }).locator(".figure-value").innerText().then(Number);

/** Waits for each step of a share's way to money to be shown. */
async function followMoney(page, until, timeoutMs) {
  const steps = [
    ["the page is live", '[data-testid="freshness"][data-state="live"]'],
    ["a block is found", '[data-testid="block-row"]'],
    ["a block is confirming", '[data-testid="stage-confirming"] .chip'],
    ["a block is credited", '[data-testid="block-row"][data-state="credited"]'],
  ];
  if (until === "settled") {
    steps.push(["a payout is made", '[data-testid="payout-row"]']);
    steps.push(["a payout is settled", '[data-testid="payout-row"][data-state="settled"]']);
  }
  const deadline = Date.now() + timeoutMs;
  const took = {};
  const began = Date.now();
  for (const [what, selector] of steps) {
    const left = Math.max(1, deadline - Date.now());
    await page.waitForSelector(selector, { timeout: left, state: "attached" }).catch(() => {
      throw new Error(`not seen within ${timeoutMs / 1000} s: ${what}`);
    });
    took[what] = Math.round((Date.now() - began) / 100) / 10;
  }
  const before = await accepted(page);
  await page
    .waitForFunction(
      (known) => [...document.querySelectorAll(".figure")].some((f) => f.innerText.includes("Shares accepted") && Number(f.querySelector(".figure-value").innerText) > known),
      before,
      { timeout: 30_000 },
    )
    .catch(() => {
      throw new Error("the number of accepted shares does not move");
    });
  return took;
}

/** The other pages: they open, fit, and say what they have to. */
async function visit(page, url, errors) {
  for (const [hash, text] of [
    ["#/connect", "stratum+tcp://"],
    [`#/miner/${NONSENSE}`, "address"],
    ["#/", "From block to payout"],
  ]) {
    await page.goto(`${url}${hash}`);
    await page.getByText(text).first().waitFor({ timeout: 10_000 });
    await fits(page, hash, errors);
  }
}

async function fixedPaths(url, errors) {
  for (const path of ["ui-assets/app.js", "ui-assets/app.css"]) {
    const answer = await globalThis.fetch(new URL(path, url));
    if (!answer.ok) errors.push(`/${path} is answered ${answer.status}`);
  }
}

async function look(browser, url, wanted) {
  const errors = [];
  const desk = await open(browser, url, WIDTHS.desk, errors);
  const phone = await open(browser, url, WIDTHS.phone, errors);
  let took = {};
  try {
    took = await followMoney(desk, wanted.until, wanted.timeoutMs);
    await phone.waitForSelector('[data-testid="block-row"]', { timeout: 10_000 });
    if (wanted.screenshot !== undefined) {
      await desk.waitForTimeout(PICTURE_MS);
      await desk.screenshot({ path: wanted.screenshot, clip: { x: 0, y: 0, width: WIDTHS.desk, height: 960 }, fullPage: true });
    }
    await fits(desk, "the dashboard", errors);
    await fits(phone, "the dashboard", errors);
    await visit(desk, url, errors);
    await visit(phone, url, errors);
    await fixedPaths(url, errors);
  } catch (error) {
    // The first line says it; what follows is the browser driver's own log.
    errors.push((error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "");
  }
  return { url, title: await desk.title(), seconds: took, errors };
}

let wanted;
try {
  wanted = options();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(2);
}
const pool = wanted.url === undefined ? await startPool(wanted.meshpool) : null;
const browser = await chromium.launch({ executablePath: wanted.chromium, args: FLAGS });
const seen = await look(browser, wanted.url ?? pool.url, wanted);
await browser.close();
await pool?.stop().catch((error) => seen.errors.push(error.message));
console.log(JSON.stringify(seen));
if (seen.errors.length > 0) {
  console.error(["the browser test failed:", ...seen.errors, ...(pool?.log ?? [])].join("\n"));
  process.exitCode = 1;
}
