/**
 * Numbers, amounts and times as people read them.
 *
 * Every function takes what the API may send, `null` included, and answers a dash for what is not
 * known: a missing figure must never look like a zero, and must never break the page.
 */

export const UNKNOWN = "–";
export const COIN = "BNT";

type Maybe<T> = T | null | undefined;

const ATOMS_DIGITS = 8;
const integer = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

function known(value: Maybe<number>): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

export function formatInteger(value: Maybe<number>): string {
  return known(value) ? integer.format(value) : UNKNOWN;
}

/** All eight digits, for a title or for copying: `467.67460036`. */
export function exactAmount(atoms: Maybe<number>): string {
  if (!known(atoms) || !Number.isInteger(atoms)) return UNKNOWN;
  const sign = atoms < 0 ? "−" : "";
  const digits = String(Math.abs(atoms)).padStart(ATOMS_DIGITS + 1, "0");
  const whole = digits.slice(0, -ATOMS_DIGITS);
  const fraction = digits.slice(-ATOMS_DIGITS).replace(/0+$/, "").padEnd(2, "0");
  return `${sign}${integer.format(BigInt(whole))}.${fraction}`;
}

/**
 * An amount of coins at a readable length: two decimals from 1,000 coins, four from one coin, all
 * eight below. Cut, never rounded: a page must not promise an atom that is not there.
 */
export function formatAmount(atoms: Maybe<number>): string {
  const exact = exactAmount(atoms);
  if (exact === UNKNOWN || !known(atoms)) return UNKNOWN;
  const size = Math.abs(atoms);
  if (size < 1e8) return exact;
  const decimals = size >= 1e11 ? 2 : 4;
  const point = exact.indexOf(".");
  // Padded, so that the digits of a column stand below each other.
  return exact.slice(0, point + 1 + decimals).padEnd(point + 1 + decimals, "0");
}

const SI = ["", "k", "M", "G", "T", "P"] as const;

function scaled(value: number): { text: string; prefix: string } {
  let step = 0;
  let size = value;
  // 999.5 would print as 1000 at this precision, so the next prefix begins there.
  while (size >= 999.5 && step < SI.length - 1) {
    size /= 1000;
    step += 1;
  }
  const decimals = size >= 100 || (step === 0 && Number.isInteger(size)) ? 0 : size >= 10 ? 1 : 2;
  return { text: size.toFixed(decimals), prefix: SI[step] ?? "" };
}

/** Splits a hashrate, so that a page can print the unit smaller. */
export function hashrateParts(value: Maybe<number>): { text: string; unit: string } {
  if (!known(value) || value < 0) return { text: UNKNOWN, unit: "" };
  const { text, prefix } = scaled(value);
  return { text, unit: `${prefix}H/s` };
}

export function formatHashrate(value: Maybe<number>): string {
  const { text, unit } = hashrateParts(value);
  return unit === "" ? text : `${text} ${unit}`;
}

/** A large count in few characters (`1.84M`); below 10,000 every digit is shown. */
export function formatCount(value: Maybe<number>): string {
  if (!known(value)) return UNKNOWN;
  if (Math.abs(value) < 10_000) return integer.format(value);
  const { text, prefix } = scaled(value);
  return `${text}${prefix}`;
}

export function formatPercent(value: Maybe<number>, decimals = 0): string {
  return known(value) ? `${value.toFixed(decimals)} %` : UNKNOWN;
}

/** Two units at most: `45 s`, `3 min 20 s`, `2 h 5 min`, `4 d 6 h`. */
export function formatDuration(seconds: Maybe<number>): string {
  if (!known(seconds)) return UNKNOWN;
  const total = Math.max(0, Math.round(seconds));
  const units: readonly [string, number][] = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ];
  const first = units.findIndex(([, size]) => total >= size);
  if (first < 0) return "0 s";
  let rest = total;
  const parts: string[] = [];
  for (const [name, size] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(" ");
}

/** RFC 3339 to milliseconds since the epoch; `null` when it is not a time. */
export function parseTime(text: Maybe<string>): number | null {
  if (typeof text !== "string") return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

/** How long ago, in one unit, as a list shows it. A clock that is a little ahead reads as "now". */
export function formatAgo(atMs: Maybe<number>, nowMs: number): string {
  if (!known(atMs)) return UNKNOWN;
  const seconds = Math.floor((nowMs - atMs) / 1000);
  if (seconds < 3) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

export function formatClock(atMs: Maybe<number>): string {
  return known(atMs) ? clock.format(atMs) : UNKNOWN;
}

export function formatDateTime(atMs: Maybe<number>): string {
  return known(atMs) ? day.format(atMs) : UNKNOWN;
}

/** The two ends of a hash or an address; short texts stay whole. */
export function shorten(text: Maybe<string>, head = 6, tail = 4): string {
  if (typeof text !== "string" || text === "") return UNKNOWN;
  if (text.length <= head + tail + 1) return text;
  return `${text.slice(0, head)}…${text.slice(-tail)}`;
}

/** A count with its noun: `1 miner`, `2 miners`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${integer.format(count)} ${count === 1 ? one : many}`;
}
